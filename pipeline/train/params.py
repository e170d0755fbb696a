"""The parameters of the models, as the config's ``models:`` gives them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from pipeline.config.model import MODELS
from pipeline.config.validation import validate
from pipeline.errors import ConfigError, suggest_or_list

# What XGBoost itself calls the parameters that have a field of their own here.
ALIASES: Mapping[str, str] = {
    "eta": "learning_rate",
    "num_boost_round": "rounds",
    "n_estimators": "rounds",
    "early_stopping_rounds": "early_stopping",
    "monotone_constraints": "monotone",
    "lambda": "reg_lambda",
    "alpha": "reg_alpha",
    "min_split_loss": "gamma",
}

# XGBoost 3.2's other tree and objective parameters (doc/parameter.rst); values are XGBoost's to
# judge. Names of the same thing stand in ALIASES.
NATIVE: frozenset[str] = frozenset({
    "gamma", "max_delta_step", "sampling_method", "colsample_bylevel", "colsample_bynode",
    "reg_lambda", "reg_alpha", "tree_method", "scale_pos_weight", "grow_policy",
    "interaction_constraints", "max_cat_to_onehot", "max_cat_threshold",
    "max_cached_hist_node", "objective", "base_score", "eval_metric", "tweedie_variance_power",
    "huber_slope", "quantile_alpha",
})  # fmt: skip

# Native parameters that the pipeline sets itself, with where the user says the same.
OWNED: Mapping[str, str] = {
    "device": "the config's `device:` says where to train",
    "gpu_id": "the config's `device:` says where to train",
    "nthread": "the memory plan and `cluster:` settle the threads",
    "n_jobs": "the memory plan and `cluster:` settle the threads",
    "seed": "the config's `seed:` is used",
    "random_state": "the config's `seed:` is used",
    "seed_per_iteration": "each segment of rounds has its own seed",
    "num_class": "the classes of the target are counted",
    "booster": "trees (gbtree) are what is trained",
    "process_type": "models are always trained afresh",
    "updater": "`tree_method` chooses it",
    "refresh_leaf": "models are always trained afresh",
    "multi_strategy": "one tree per class is what is saved",
    "validate_parameters": "they are always checked",
    "disable_default_eval_metric": "name the metric with `eval_metric`",
    "verbosity": "`-v` and `-q` do this",
    "missing": "missing values are always NaN",
    "enable_categorical": "columns of codes are always categories",
    "feature_types": "they come from the features",
}


FEW_ROWS = 10_000
"""Below so many rows trees are small and slow: docs/decisions/0002-default-parameters.md."""
INT32 = 2**31 - 1
"""The largest number that XGBoost and cuML take."""
MANY_ROWS = 100_000
"""From so many rows on a forest's leaves hold 20 rows at least, else 5."""


def _off(value: Any) -> Any:
    return 0 if value is None or value is False else value


Params = TypeVar("Params", bound=BaseModel)
Fraction = Annotated[float, Field(gt=0, le=1)]
ClassWeight = None | Literal["balanced"] | dict[str, Annotated[float, Field(ge=1e-9, le=1e9)]]


def _text_keys(value: Any) -> Any:
    return {str(k): v for k, v in value.items()} if isinstance(value, Mapping) else value


ClassWeights = Annotated[ClassWeight, BeforeValidator(_text_keys)]
"""None; ``balanced``: rows / (classes · rows of the class); or a weight per class, by its text."""


class XGBoostParams(BaseModel):
    """Gradient boosted trees. Any native XGBoost parameter may stand beside these."""

    model_config = ConfigDict(frozen=True, extra="allow", allow_inf_nan=False)

    rounds: int = Field(1000, ge=1, le=INT32)
    """At most so many rounds; early stopping finds how many."""
    early_stopping: Annotated[int, BeforeValidator(_off)] = Field(50, ge=0, le=INT32)
    """Rounds without a better score on the valid set until it stops; null or 0: never."""
    max_depth: Literal["auto"] | Annotated[int, Field(ge=0, le=64)] = "auto"
    """Levels of a tree; 0: no limit; auto: 4 below 10,000 rows, else 6."""
    learning_rate: Literal["auto"] | Fraction = "auto"
    """How much of each tree's correction is taken; auto: 0.05 below 10,000 rows, else 0.1."""
    min_child_weight: float = Field(1.0, ge=0)
    """Least sum of second derivatives in a leaf: rows, for squared error; p(1 - p) for log loss."""
    subsample: Fraction = 0.8
    """Share of the rows that each tree sees."""
    colsample_bytree: Fraction = 0.5
    """Share of the columns that each tree sees."""
    max_bin: int = Field(256, ge=2, le=65_536)
    """Bins of a column's values."""
    max_leaves: int = Field(0, ge=0, le=INT32)
    """Leaves of a tree; 0: no limit."""
    num_parallel_tree: int = Field(1, ge=1, le=10_000)
    """Trees that each round grows for each score."""
    bins: Literal["auto", "exact"] = "auto"
    """auto: above 4 M training rows the bins are those of 1 M of them; exact: of all rows."""
    class_weight: ClassWeights = None
    monotone: dict[str, Literal[-1, 0, 1]] = {}
    """Columns that the prediction must only rise (1) or fall (-1) with."""

    @model_validator(mode="before")
    @classmethod
    def _native_names(cls, value: Any) -> Any:
        if not isinstance(value, Mapping):
            return value
        found: dict[str, Any] = {}
        for key, entry in value.items():
            name = _native_name(str(key))
            if name in found:
                raise ConfigError(f"models.xgboost: {key!r} is given twice, as {name!r} too")
            found[name] = entry
        return found

    def resolve_auto(self, rows: int) -> XGBoostParams:
        """With numbers for what is ``auto``, by the rows of all sets: a refit has the same."""
        few = rows < FEW_ROWS
        return _filled(self, {"max_depth": 4 if few else 6, "learning_rate": 0.05 if few else 0.1})

    @property
    def native(self) -> dict[str, Any]:
        """The parameters that XGBoost gets as they are, once `resolve_auto` has run."""
        own = ("max_depth", "learning_rate", "min_child_weight", "subsample", "colsample_bytree")
        extra = self.model_extra or {}
        given = {n: getattr(self, n) for n in ("max_leaves", "num_parallel_tree")}
        given = {n: v for n, v in given.items() if v != type(self).model_fields[n].default}
        return {**{n: getattr(self, n) for n in (*own, "max_bin")}, **given, **extra}


def _native_name(key: str) -> str:
    name = ALIASES.get(key, key)
    if name in XGBoostParams.model_fields or name in NATIVE:
        return name
    if name in OWNED:
        raise ConfigError(
            f"models.xgboost.{key}: the pipeline sets this", fix=f"leave it out: {OWNED[name]}"
        )
    known = [*XGBoostParams.model_fields, *NATIVE, *ALIASES]
    raise ConfigError(
        f"models.xgboost.{key}: unknown key, and no parameter of XGBoost",
        fix=suggest_or_list(key, known),
    )


class ForestParams(BaseModel):
    """Random forest. One table for both libraries:

    ================  ==================  ==================
    here              scikit-learn        cuML
    ================  ==================  ==================
    trees             n_estimators        n_estimators
    max_depth         max_depth           max_depth
    min_samples_leaf  min_samples_leaf    min_samples_leaf
    max_features      max_features        max_features
    max_samples       max_samples         max_samples
    n_bins            (exact splits)      n_bins
    class_weight      row weights         row weights
    the run's seed    random_state        random_state
    the run's threads n_jobs              (the GPU)
    ================  ==================  ==================
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    trees: int = Field(100, ge=1, le=100_000)
    max_depth: int = Field(16, ge=1, le=64)
    """Always a number: cuML's default changed to unlimited, and so does the file's size."""
    min_samples_leaf: Literal["auto"] | Annotated[int, Field(ge=1, le=INT32)] = "auto"
    """Least rows in a leaf; auto: 5 below 100,000 rows, else 20. On flights 20 makes a third of the
    file that 1 makes, and scores better."""
    max_features: Literal["auto", "sqrt", "log2"] | Fraction = "auto"
    """Columns tried at each split: a rule or a share; auto: sqrt, or a third for a regression."""
    n_bins: int = Field(128, ge=2, le=1024)
    """Bins of a column on the GPU; scikit-learn tries every value."""
    max_samples: Literal["auto"] | Fraction = "auto"
    """Share of the rows that each tree draws; auto: all, but at most 50,000 rows of 1,000,000."""
    class_weight: ClassWeights = None

    def resolve_auto(self, rows: int) -> ForestParams:
        """With a number for what is ``auto``, by the rows of all sets: a refit has the same."""
        return _filled(self, {"min_samples_leaf": 5 if rows < MANY_ROWS else 20})


def _filled(params: Params, numbers: Mapping[str, float]) -> Params:
    """The parameters with these in place of "auto"."""
    update = {name: n for name, n in numbers.items() if getattr(params, name) == "auto"}
    return params.model_copy(update=update)


ModelParams = XGBoostParams | ForestParams
PARAMS: Mapping[str, type[XGBoostParams] | type[ForestParams]] = {
    "xgboost": XGBoostParams,
    "forest": ForestParams,
}


def parse_models(models: Mapping[str, Mapping[str, Any] | None] | None) -> dict[str, ModelParams]:
    """The models to train, in the order xgboost, forest.

    None or an empty mapping means both with their defaults; a model set to null is left out.

    Raises:
        ConfigError: an unknown model or key, or a value out of range; names the nearest.
    """
    chosen: Mapping[str, Any] = models if models else {name: {} for name in MODELS}
    for name in chosen:
        if name not in PARAMS:
            raise ConfigError(
                f"models.{name}: there is no such model", fix=suggest_or_list(name, PARAMS)
            )
    found: dict[str, ModelParams] = {
        name: validate(kind, chosen[name], f"models.{name}")
        for name, kind in PARAMS.items()
        if chosen.get(name) is not None
    }
    if not found:
        raise ConfigError("models: every model is null", fix="leave `models:` out to train both")
    return found
