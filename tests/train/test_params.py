import pytest

from pipeline.errors import ConfigError
from pipeline.train.model import parse_models
from pipeline.train.params import ForestParams, XGBoostParams


@pytest.mark.parametrize("nothing", [None, {}])
def test_both_models_without_a_word(nothing):
    assert parse_models(nothing) == {"xgboost": XGBoostParams(), "forest": ForestParams()}


def test_order_is_fixed_and_null_removes():
    assert list(parse_models({"forest": {}, "xgboost": {}})) == ["xgboost", "forest"]
    assert list(parse_models({"forest": {}, "xgboost": None})) == ["forest"]
    assert list(parse_models({"forest": {"trees": 3}})) == ["forest"]


def test_native_names_and_aliases():
    (params,) = parse_models(
        {"xgboost": {"eta": 0.3, "lambda": 2, "max_leaves": 31, "early_stopping": None}}
    ).values()
    assert params.learning_rate == 0.3
    assert params.early_stopping == 0
    assert params.native["reg_lambda"] == 2
    assert params.native["max_leaves"] == 31
    assert parse_models({"xgboost": params.model_dump()}) == {"xgboost": params}


@pytest.mark.parametrize(
    ("models", "said"),
    [
        ({"xgbost": {}}, "did you mean 'xgboost'"),
        ({"xgboost": None, "forest": None}, "every model is null"),
        ({"xgboost": {"max_dept": 3}}, "did you mean 'max_depth'"),
        ({"xgboost": {"colsample_bynod": 3}}, "did you mean 'colsample_bynode'"),
        ({"xgboost": {"eta": 0.1, "learning_rate": 0.2}}, "given twice"),
        ({"xgboost": {"nthread": 3}}, "the pipeline sets this"),
        ({"xgboost": {"subsample": 1.5}}, "models.xgboost.subsample"),
        ({"xgboost": {"monotone": {"a": 2}}}, "models.xgboost.monotone.a"),
        ({"xgboost": 5}, "models.xgboost"),
        ({"forest": {"tree": 3}}, "did you mean 'trees'"),
        ({"forest": {"max_depth": None}}, "models.forest.max_depth"),
        ({"forest": {"max_samples": 2.0}}, "models.forest.max_samples"),
    ],
)
def test_mistakes_are_named(models, said):
    with pytest.raises(ConfigError) as caught:
        parse_models(models)
    assert said in str(caught.value)


def test_class_weights_by_text_of_the_class():
    (params,) = parse_models({"forest": {"class_weight": {True: 3, 2: 1}}}).values()
    assert params.class_weight == {"True": 3.0, "2": 1.0}


@pytest.mark.parametrize(
    ("rows", "expected"), [(9_999, (4, 0.05, 5)), (10_000, (6, 0.1, 5)), (100_000, (6, 0.1, 20))]
)
def test_what_is_auto_depends_on_the_rows(rows, expected):
    xgboost, forest = (p.resolve_auto(rows) for p in parse_models(None).values())
    assert (xgboost.max_depth, xgboost.learning_rate, forest.min_samples_leaf) == expected
    given = {
        "xgboost": {"max_depth": 0, "learning_rate": 1, "max_leaves": 9},
        "forest": {"min_samples_leaf": 1},
    }
    for params in parse_models(given).values():
        assert params.resolve_auto(rows) == params
    with pytest.raises(ConfigError, match=r"models\.xgboost\.max_depth"):
        parse_models({"xgboost": {"max_depth": 65}})
