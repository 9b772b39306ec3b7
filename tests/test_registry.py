import sys

import pytest

from pellucid.errors import PellucidError, UnknownNameError
from pellucid.registry import Registry


def test_registered_entries_are_found_sorted_and_described():
    registry = Registry[type]("shape")

    @registry.register("cube")
    class Cube:
        """Six faces.

        More about it.
        """

    @registry.register("ball")
    class Ball:
        pass

    assert list(registry) == ["ball", "cube"]
    assert len(registry) == 2
    assert "cube" in registry
    assert registry["cube"] is Cube
    assert registry.describe() == {"ball": "", "cube": "Six faces."}


def test_unknown_name_lists_near_misses():
    registry = Registry[int]("backbone")
    registry.register("egnn")(1)
    with pytest.raises(UnknownNameError, match=r"expected a known backbone, got 'egn'; did you mean 'egnn'\?"):
        registry["egn"]
    assert issubclass(UnknownNameError, PellucidError)


def test_empty_registry_says_so():
    with pytest.raises(UnknownNameError, match="Known: none"):
        Registry[int]("backbone")["x"]


def test_two_entries_cannot_share_a_name():
    registry = Registry[object]("shape")
    registry.register("a")(1)
    with pytest.raises(ValueError, match="'a' twice"):
        registry.register("a")(2)


def test_the_same_entry_defined_again_replaces_itself():  # a notebook cell run twice, or importlib.reload
    registry = Registry[type]("shape")
    for _ in range(2):
        @registry.register("a")
        class A:
            pass

    assert registry["a"] is A


def entry(name, body):
    return f"from plugged_in import things\n\n\n@things.register({name!r})\ndef {name}():\n    {body}\n\n\n"


@pytest.fixture
def package(tmp_path, monkeypatch):
    folder = tmp_path / "plugged_in"
    folder.mkdir()
    (folder / "__init__.py").write_text("from pellucid.registry import Registry\n"
                                        "things = Registry('thing', package='plugged_in')\n")
    (folder / "one.py").write_text(entry("one", "'A one.'"))
    monkeypatch.syspath_prepend(tmp_path)
    yield folder
    for name in [n for n in sys.modules if n.split(".")[0] == "plugged_in"]:
        del sys.modules[name]


def test_modules_of_the_package_are_imported_on_first_use(package):
    import plugged_in

    assert "plugged_in.one" not in sys.modules
    assert plugged_in.things.describe() == {"one": "A one."}


def test_a_broken_module_raises_every_time_and_recovers(package):
    import plugged_in

    broken = package / "two.py"
    broken.write_text(entry("two", "pass") + "raise OSError('mine')")
    for _ in range(2):
        with pytest.raises(OSError, match="mine"):
            list(plugged_in.things)
    broken.write_text(entry("two", "return 2") + "well = 'again'  # of another length, for Python's cache of modules")
    assert list(plugged_in.things) == ["one", "two"]
    assert plugged_in.things["two"]() == 2


def test_a_new_module_works_before_the_index_is_made_again(package, monkeypatch):
    from pellucid import registry

    monkeypatch.setattr(registry, "_index", lambda: {"things": {"names": {"one": ["plugged_in.one", "A one."]},
                                                                "others": []}})
    (package / "__init__.py").write_text("from pellucid.registry import Registry\n"
                                         "things = Registry('thing', 'plugged_in', 'things')\n")
    (package / "two.py").write_text(entry("two", "'A two.'"))
    import plugged_in

    assert plugged_in.things["one"].__doc__ == "A one."
    assert "plugged_in.two" not in sys.modules
    assert plugged_in.things["two"].__doc__ == "A two."
    assert plugged_in.things.describe() == {"one": "A one.", "two": "A two."}
    assert "one" in plugged_in.things
    assert len(plugged_in.things) == 2
