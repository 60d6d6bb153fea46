import numpy as np
import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from backend.ingest.distinct import DENSE
from backend.oal.totals import Chosen, Groups, Merge, Totals

WHOLE = st.integers(-(2**53), 2**53)
FLAGS = st.booleans() | st.none()
ROWS = st.lists(st.tuples(st.integers(-1, 3), st.integers(-2, 2), WHOLE, WHOLE | st.none(), FLAGS, FLAGS))
SCHEMA = {
    **dict.fromkeys(["number", "minute"], pl.Int32),
    **dict.fromkeys(["whole", "sparse"], pl.Int64),
    **dict.fromkeys(["flag", "other"], pl.Boolean),
}


@given(rows=ROWS.filter(bool), limit=st.sampled_from([4, DENSE + 1]))
def test_totals_are_those_of_polars(rows: list[tuple[int | bool | None, ...]], limit: int) -> None:
    frame = pl.DataFrame(rows, SCHEMA, orient="row")
    totals = Totals("t")
    asked = {
        totals.name(("rows",), pl.lit(1, pl.Int64)): pl.len(),
        totals.name(("whole",), pl.col("whole")): pl.col("whole").sum(),
        totals.name(("sparse",), pl.col("sparse")): pl.col("sparse").sum(),
        totals.name(("flag",), pl.col("flag")): pl.col("flag").sum(),
        totals.name(("least",), pl.col("sparse"), Merge.LEAST): pl.col("sparse").min(),
        totals.name(("greatest",), pl.col("sparse"), Merge.GREATEST): pl.col("sparse").max(),
        totals.name(("chosen",), Chosen("whole")): pl.col("whole").sum(),
        totals.name(("counted",), Chosen(None)): pl.len(),
        totals.name(("counted flags",), Chosen(None, ("flag",))): pl.col("flag").sum(),
        totals.name(("sparse numbers",), Chosen("sparse", ("other",))): pl.col("sparse").filter("other").sum(),
        totals.name(("flagged",), Chosen("whole", ("flag",))): pl.col("whole").filter("flag").sum(),
        totals.name(("both",), Chosen("whole", ("flag", "other"))): pl.col("whole").filter("flag", "other").sum(),
        totals.name(("nothing",), pl.lit(0, pl.Int64)): pl.lit(0),
    }
    # A number below 0 is that of no group.
    expected = (
        frame.filter(pl.col("number") >= 0)
        .group_by("number", "minute")
        .agg(merged.cast(pl.Int64).alias(name) for name, merged in asked.items())
    )
    groups = Groups(frame["number"].to_numpy(), frame["minute"].to_numpy(), limit)
    found = pl.DataFrame(totals.by_group(frame.to_dict(), groups, "number")).select(expected.columns)
    assert found.schema == expected.schema
    assert found.rows() == expected.sort("number", "minute").rows()
    in_frame = totals.frame_by_group(frame.to_dict(), groups, "number").select(found.columns)
    assert in_frame.schema == found.schema
    assert in_frame.rows() == found.rows()
    assert totals.name(("whole",), pl.col("whole")) == "t1"
    assert [f"{expression}" for expression in totals.expressions][1] == 'col("whole").sum().alias("t1")'


def test_no_rows_have_no_groups() -> None:
    nothing = np.empty(0, np.int32)
    groups = Groups(nothing, nothing, 1)
    totals = Totals("t")
    totals.name(("whole",), Chosen("whole"))
    found = totals.frame_by_group({"whole": np.empty(0, np.int64)}, groups, "number")
    assert (len(groups), found.shape) == (0, (0, 3))
