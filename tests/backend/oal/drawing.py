"""Random metrics, drawn by hypothesis."""

from hypothesis import strategies as st

from tests.backend.oal.oracle import ORDER, SERVICES, SOURCES, Condition, Metric, Operand

FUNCTIONS = (
    *("count", "cpm", "sum", "longAvg", "doubleAvg", "percent", "rate", "max", "min", "maxDouble", "minDouble"),
    *("apdex", "percentile", "percentile2", "histogram", "labelCount", "labelAvg"),
)

TEXTS = ("", "api", "Get", "Send", "HTTP2", "/", "TLS", "shop", "12")
NUMBERS = (0, 1, -1, 5, 200, 404, 500, 999, 10_000, 1.5, -0.5, 499.9)


@st.composite
def conditions(draw: st.DrawFn, operands: st.SearchStrategy[Operand]) -> Condition:  # noqa: PLR0911 - one for each kind
    operand = draw(operands)
    equality = st.sampled_from(["==", "!="])
    kind = operand.kind
    if kind not in {"list", "type"} and draw(st.integers(0, 9)) == 0:
        return Condition(operand, draw(equality), None)
    match kind:
        case "number":
            number = st.sampled_from(NUMBERS)
            if draw(st.booleans()):
                return Condition(operand, "in", tuple(draw(st.lists(number, min_size=1, max_size=4))))
            return Condition(operand, draw(st.sampled_from(["==", "!=", *ORDER])), draw(number))
        case "boolean":
            return Condition(operand, draw(equality), draw(st.booleans()))
        case "enumeration":
            members = st.sampled_from(["CLIENT", "SERVER", "PROXY", "UNRECOGNIZED"])
            if draw(st.booleans()):
                return Condition(operand, "in", tuple(draw(st.lists(members, min_size=1, max_size=3))))
            return Condition(operand, draw(equality), draw(members))
        case "list":
            literal = draw(st.sampled_from([49, 110, 129, 130, 7]))
            return Condition(operand, draw(st.sampled_from(["contain", "not contain"])), literal)
        case _:
            text = st.sampled_from(TEXTS if kind == "string" else ("read", "write", "protocol", "connect", "http"))
            chosen = draw(st.sampled_from(["==", "!=", "in", "like"]))
            if chosen == "in":
                return Condition(operand, "in", tuple(draw(st.lists(text, min_size=1, max_size=3))))
            if chosen == "like":
                part = draw(st.sampled_from(["a", "e", "S", "HTTP", "wri"]))
                pattern = draw(st.sampled_from(["%{}", "{}%", "%{}%", "{}"])).format(part)
                return Condition(operand, "like", pattern)
            return Condition(operand, chosen, draw(text))


@st.composite
def metrics(draw: st.DrawFn) -> Metric:  # noqa: PLR0911 - one for each form of arguments
    source = draw(st.sampled_from(sorted(SOURCES)))
    known = SOURCES[source]
    plain = [Operand(path, attribute) for path, attribute in known.items()]
    host = next(path for path in known if path.endswith("http.host"))
    cast = [Operand(host, known[host], draw(st.sampled_from(["(str->long)", "(str->int)"])))]
    cast += [Operand(each.path, each.attribute, "(long)") for each in plain if each.kind == "number"][:2]
    operands = st.sampled_from([*plain, *cast])
    numbers = st.sampled_from([each for each in (*plain, *cast) if each.kind == "number"])
    some = conditions(operands)
    filters = tuple(draw(st.lists(some, max_size=2)))
    function = draw(st.sampled_from(sorted(FUNCTIONS)))
    match function:
        case "count" | "cpm":
            value = draw(st.none() | operands)
            return Metric(source, value, filters, function)
        case "percent" | "rate":
            number = 1 if function == "percent" else 2
            return Metric(source, None, filters, function, tuple(draw(some) for _ in range(number)))
        case "percentile" | "percentile2":
            return Metric(source, draw(numbers), filters, function, numbers=(10,))
        case "histogram":
            sizes = draw(st.tuples(st.sampled_from([1, 7, 100, 10**6]), st.integers(1, 5)))
            return Metric(source, draw(numbers), filters, function, numbers=sizes)
        case "apdex":
            services = [SERVICES[source]] if source in SERVICES else ["sourceServiceName", "destServiceName"]
            service = draw(st.sampled_from(services))
            success = draw(st.sampled_from([each for each in plain if each.kind == "boolean"]))
            return Metric(source, draw(numbers), filters, function, (), (Operand(service, known[service]), success))
        case "labelCount" | "labelAvg":
            label = draw(st.sampled_from([each for each in (*plain, *cast) if each.kind != "list"]))
            more = (draw(numbers),) if function == "labelAvg" else ()
            return Metric(source, None, filters, function, (), (label, *more), draw(st.sampled_from([(), (1_000,)])))
        case _:
            return Metric(source, draw(numbers), filters, function)
