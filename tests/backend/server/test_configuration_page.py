import yaml

from backend.server import configuration_page
from backend.server.declarations import BY_KEY, BY_PATH, SETTINGS
from backend.server.loading import STANDARD
from backend.server.settings import Settings


def test_the_page_and_the_file_are_what_the_declarations_make() -> None:
    assert configuration_page.PAGE.read_text() == configuration_page.page(), "run `make configuration`"
    assert STANDARD.read_text() == configuration_page.application_file(), "run `make configuration`"


def test_every_field_of_the_settings_is_declared_once() -> None:
    def leaves(struct: object, prefix: str) -> list[str]:
        found: list[str] = []
        for name in type(struct).__struct_fields__:  # type: ignore[attr-defined] # every struct has it
            value = getattr(struct, name)
            nested = hasattr(type(value), "__struct_fields__")
            found += leaves(value, f"{prefix}{name}.") if nested else [prefix + name]
        return found

    assert sorted(leaves(Settings(), "")) == sorted(setting.path for setting in SETTINGS)
    assert len(BY_PATH) == len(BY_KEY) == len(SETTINGS) == len({setting.variable for setting in SETTINGS})


def test_every_default_is_allowed_and_means_something() -> None:
    for setting in SETTINGS:
        assert setting.allowed.read(setting.default) == setting.default
        assert setting.meaning.endswith(".")


def test_the_page_has_a_row_for_each_setting_of_the_file() -> None:
    held = yaml.safe_load(STANDARD.read_text())
    page = configuration_page.page()
    keys = {f"{module}.selector" for module in held if f"{module}.selector" in BY_KEY} | {
        f"{module}.{provider}.{name}"
        for module, providers in held.items()
        for provider, settings in providers.items()
        if provider != "selector"
        for name in settings
    }
    assert keys == set(BY_KEY)
    for key in keys:
        assert page.count(f"| `{key}` |") == 1
