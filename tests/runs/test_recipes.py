"""Recipe files: those that come with the package, what a file can say, and every way to get one wrong."""

import pytest

from span_keras.checkpoints import load_weights
from span_keras.errors import ConfigError
from span_keras.runs.recipes import folder, load, names
from span_keras.runs.settings import resolve

STAGES = """
description = "Two stages."

[network]
scale = 2
init = "bundled:x2"

[data]
batch_size = 8

[step]
rate_epochs = [1, 2]
learning_rate = 1

[[stages]]
name = "first"

[[stages]]
name = "larger-patches"

[stages.data]
patch_size = 80

[stages.step]
rate_steps = [50]
learning_rate = 1e-4
"""


@pytest.fixture
def write(tmp_path):
    def write(text: str, name: str = "mine.toml") -> str:
        (tmp_path / name).write_text(text)
        return str(tmp_path / name)

    return write


def test_shipped_recipes_are_complete_and_possible():
    assert {"default", "paper"} <= set(names())
    for name in names():
        recipe = load(name)
        assert recipe.description.endswith("."), name
        for stage in recipe.stages:
            settings = resolve({"recipe": name}, stage=stage)
            assert settings.run.total_steps > 0 and settings.recipe == name


def test_shipped_recipes_name_no_folders_of_photographs():
    """Those are arguments; only networks that are not shipped have a place."""
    for name in names():
        for stage in load(name).stages:
            assert not stage.values.keys() & {"data", "val", "teacher_cache"}, name


def test_shipped_recipes_say_where_to_get_the_files_that_they_name():
    for name in names():
        recipe = load(name)
        options = ("init", "teacher", "perceptual_weights")
        named = {stage.values[option] for stage in recipe.stages for option in options if stage.values.get(option)}
        assert {file for file in named if not file.startswith("bundled:")} == recipe.sources.keys(), name


@pytest.mark.parametrize("name", [name for name in names() if name not in ("default", "paper") and "-mae" not in name])
def test_a_shipped_network_took_the_steps_of_its_recipe(name):
    """And has the network of its last stage."""
    network, stages = load_weights(f"bundled:{name}"), load(name).stages
    runs = [resolve({"recipe": name}, stage=stage) for stage in stages]
    assert network.metadata["steps"] == sum(settings.run.total_steps for settings in runs)
    assert network.config == runs[-1].config


def test_stages_override_what_stands_above(write):
    first, larger = load(write(STAGES)).stages
    assert (first.name, larger.name) == ("first", "larger-patches")
    assert first.values == {
        **{"scale": 2, "init": "bundled:x2", "batch_size": 8},
        **{"rate_epochs": (1, 2), "rate_steps": (), "learning_rate": 1.0},
    }
    assert larger.values["rate_epochs"] == () and larger.values["rate_steps"] == (50,)
    assert (larger.values["patch_size"], larger.values["batch_size"], larger.values["scale"]) == (80, 8, 2)
    assert "init" not in larger.values, "it begins from the stage before"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[data]\ndegrade_noise = 0.9\n", r"\[data\] degrade_noise expected a --degrade that uses it, found none"),
        (
            "[step]\nschedule = 'cosine'\nrate_factor = 0.3\n",
            r"\[step\] rate_factor expected --schedule piecewise, found cosine; leave one of them out",
        ),
        (
            "[step]\nschedule = 'cosine'\nrate_epochs = [2]\n",
            r"\[step\] rate_epochs expected --schedule piecewise, found cosine; leave one of them out",
        ),
        ("[data]\nteacher_cache = 'kept'\n", r"\[data\] teacher_cache expected a --teacher that uses it, found none"),
        ("[step]\nteacher_weight = 2\n", r"\[step\] teacher_weight expected a --teacher that uses it, found none"),
        (
            "[step]\nperceptual = 'none'\nvgg_weight = 0.1\n",
            "--vgg-weight expected a --perceptual that uses it, found none",
        ),
    ],
)
def test_values_that_nothing_uses_are_refused(write, text, message):
    with pytest.raises(ConfigError, match=rf"mine\.toml: {message}") as error:
        resolve({"recipe": write(text)})
    assert str(error.value).endswith(".")


@pytest.mark.parametrize("table", ["[data]\n", "[[stages]]\nname = 'a'\n[stages.data]\n"])
def test_strengths_that_are_no_range_name_the_recipe(write, table):
    with pytest.raises(ConfigError, match=r"mine\.toml: \[data\] degrade_quality must be two ascending numbers from 1"):
        load(write(f"{table}degrade = 'photo'\ndegrade_quality = [90, 40]\n"))


def test_a_value_that_a_stage_does_not_use_names_the_stage(write):
    file = write("[[stages]]\nname = 'a'\n[[stages]]\nname = 'b'\n[stages.step]\nteacher_weight = 2\n")
    first, second = load(file).stages
    resolve({"recipe": file}, stage=first)
    with pytest.raises(ConfigError, match=r"mine\.toml, stage b: \[step\] teacher_weight expected a --teacher"):
        resolve({"recipe": file}, stage=second)


def test_a_choice_may_leave_values_of_a_recipe_unused(write):
    """Or use those that nothing else does."""
    assert resolve({"schedule": "cosine"}).step.rate_epochs == (200, 300)
    taught = write("[data]\nteacher = 'bundled:x4'\n[step]\nteacher_weight = 2\n")
    assert resolve({"recipe": taught, "degrade": "photo"}).data.teacher is None
    noisy = write("[data]\ndegrade_noise = 0.9\n")
    assert resolve({"recipe": noisy, "degrade": "photo"}).data.degradations.noise == 0.9


def test_numbers_without_a_point_are_numbers(write):
    rate = resolve({"recipe": write("[step]\nlearning_rate = 1\n")}).step.learning_rate
    assert rate == 1 and isinstance(rate, float)


def test_what_is_given_wins_over_a_file(write):
    file = write("[run]\nepochs = 7\nseed = 3\n")
    settings = resolve({"recipe": file, "epochs": 9})
    assert (settings.run.epochs, settings.run.seed, settings.recipe) == (9, 3, file)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[step\n", "expected a TOML file, found in .*mine.toml: "),
        (
            "[steps]\n",
            "expected description, sources, network, data, step, run, stages, found steps; the nearest is step",
        ),
        ("epochs = 3\n", "expected description, sources, network, data, step, run, stages, found epochs"),
        (
            "[step]\nlearning_rat = 1\n",
            r"\[step\] expected options of .*, found learning_rat; the nearest is learn",
        ),
        ("[step]\nepochs = 1\n", r"\[step\] expected options of this table, found epochs, which belongs to \[run\]"),
        ("[step]\nzzz = 1\n", r"\[step\] expected options of this table, found zzz\."),
        ("step = 3\n", r"step must be a table headed \[step\], found 3"),
        ("[run]\nepochs = '5'\n", "--epochs must be a whole number from 1 to 1,000,000,000, found '5'"),
        ("[run]\nepochs = 1e3\n", "--epochs must be a whole number from 1 to 1,000,000,000, found 1000.0"),
        ("[run]\nepochs = true\n", "--epochs must be a whole number from 1 to 1,000,000,000, found True"),
        ("[data]\nhr_scales = 0.5\n", "--hr-scales must be a list of numbers, found 0.5"),
        ("[data]\ncontrast = 4\n", "has contrast = 4, which was retired"),
        ("[step]\nlearning_rate = 1e30\n", "--learning-rate must be a number from 1e-12 to 10, found 1e"),
        ("[step]\nlearning_rate = nan\n", "--learning-rate must be a finite number, found nan"),
        ("[step]\nbeta_2 = -1\n", r"\[step\] beta_2 must be a number from 0 to 1, found -1.0"),
        ("[step]\nloss = 'huber'\n", "--loss must be one of mae, mse, found 'huber'"),
        ("[step]\nloss = 'charbonnier'\n", "has loss = 'charbonnier', which was retired; leave it out, or use commit"),
        ("[network]\nmorph_steps = 5\n", "has morph_steps = 5, which was retired"),
        ("description = 3\n", "description must be a text, found 3"),
        ("sources = 3\n", r"sources must be a table of texts headed \[sources\], found 3"),
        ("[sources]\n'a.pth' = 3\n", r"sources must be a table of texts headed \[sources\], found \{'a.pth': 3\}"),
        ("stages = 3\n", r"stages must be tables headed \[\[stages\]\], found 3"),
        ("[stages]\nname = 'a'\n", r"stages must be tables headed \[\[stages\]\]"),
        ("[[stages]]\n", "stage 1 expected a name of letters, digits and hyphens, found none"),
        ("[[stages]]\nname = ''\n", "stage 1 expected a name of letters, digits and hyphens, found ''"),
        ("[[stages]]\nname = '../up'\n", "stage 1 expected a name of letters, digits and hyphens, found '../up'"),
        ("[[stages]]\nname = 3\n", "stage 1 expected a name of letters, digits and hyphens, found 3"),
        (
            "[[stages]]\nname = 'a'\nsteps = 1\n",
            "stage 1 expected name, network, data, step, run, found steps",
        ),
        ("[[stages]]\nname = 'a'\n[[stages]]\nname = 'a'\n", "stages must have different names, found a, a"),
        (
            "[[stages]]\nname = 'a'\n[[stages]]\nname = 'b'\n[stages.network]\ninit = 'bundled:x4'\n",
            "stage b expected no init, because it begins from the weights of the stage before, found 'bundled:x4'",
        ),
        (
            "[[stages]]\nname = 'a'\n[stages.step]\nema_decay = 2\n",
            r"\[step\] ema_decay must be a number from 0 to 1, found 2.0",
        ),
    ],
)
def test_files_that_are_no_recipes_say_why(write, text, message):
    """In one sentence that names the file."""
    with pytest.raises(ConfigError, match=message) as error:
        load(write(text))
    assert "mine.toml" in str(error.value) and str(error.value).endswith(".")


def test_names_and_files_that_do_not_exist(tmp_path):
    with pytest.raises(ConfigError, match=r"--recipe must be one of .*default, paper.* or a \.toml file, found 'mine'"):
        load("mine")
    with pytest.raises(ConfigError, match=r"--recipe expected a file at .*none\.toml, found none; check the path"):
        load(str(tmp_path / "none.toml"))
    (tmp_path / "folder.toml").mkdir()
    with pytest.raises(ConfigError, match=r"--recipe expected to read .*folder\.toml, found: Is a directory"):
        load(str(tmp_path / "folder.toml"))
    (tmp_path / "image.toml").write_bytes(b"\x89PNG\xff")
    with pytest.raises(ConfigError, match=r"--recipe expected a TOML file in UTF-8, found another file in .*image"):
        load(str(tmp_path / "image.toml"))


def test_several_stages_are_no_single_run(write):
    with pytest.raises(ConfigError, match=r"expected a recipe of one stage, found .*mine\.toml with 2; run it with"):
        resolve({"recipe": write(STAGES)})


def test_the_folder_of_recipes_is_found():
    assert (folder() / "default.toml").is_file()
