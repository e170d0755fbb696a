"""The parameters of each model, as written in the config's ``models:``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from pipeline.errors import ConfigError, suggest_or_list

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
"""The config's name of a parameter, by the other names that XGBoost has for it."""

# XGBoost 3.2's other tree and objective parameters (doc/parameter.rst). Only the names are checked
# here: XGBoost checks the values itself, on two rows (`make_native_params`).
NATIVE: frozenset[str] = frozenset({
    "gamma", "max_delta_step", "sampling_method", "colsample_bylevel", "colsample_bynode",
    "reg_lambda", "reg_alpha", "tree_method", "scale_pos_weight", "grow_policy",
    "interaction_constraints", "max_cat_to_onehot", "max_cat_threshold",
    "max_cached_hist_node", "objective", "base_score", "eval_metric", "tweedie_variance_power",
    "huber_slope", "quantile_alpha",
})  # fmt: skip

OWNED: Mapping[str, str] = {
    "device": "the config's `device:` says where to train",
    "gpu_id": "the config's `device:` says where to train",
    "nthread": "the memory plan and `cluster:` set the threads",
    "n_jobs": "the memory plan and `cluster:` set the threads",
    "seed": "the config's `seed:` is used",
    "random_state": "the config's `seed:` is used",
    "seed_per_iteration": "each segment of rounds has its own seed",
    "num_class": "the classes of the target are counted",
    "booster": "only trees (gbtree) are trained",
    "process_type": "models are always trained afresh",
    "updater": "`tree_method` chooses it",
    "refresh_leaf": "models are always trained afresh",
    "multi_strategy": "only models with one tree per class are saved",
    "validate_parameters": "they are always checked",
    "disable_default_eval_metric": "name the metric with `eval_metric`",
    "verbosity": "`-v` and `-q` do this",
    "missing": "missing values are always NaN",
    "enable_categorical": "columns of codes are always categories",
    "feature_types": "they come from the features",
}
"""Native parameters that the pipeline sets itself, and what the user sets or does instead."""


FEW_ROWS = 10_000
"""Rows below which trees are small and learn slowly: docs/decisions/0002-default-parameters.md."""
NativeParams = dict[str, Any]
"""XGBoost's own parameters by name."""
INT32 = 2**31 - 1
"""The largest number that XGBoost and cuML take."""
MANY_ROWS = 100_000
"""Rows from which a forest's leaves hold at least 20 rows, else 5."""

Fraction = Annotated[float, Field(gt=0, le=1)]
ClassWeight = None | Literal["balanced"] | dict[str, Annotated[float, Field(ge=1e-9, le=1e9)]]
# YAML reads the class `1` as a number and `true` as a bool; weights name classes by their text.
ClassWeights = Annotated[
    ClassWeight,
    BeforeValidator(
        lambda value: {str(k): v for k, v in value.items()} if isinstance(value, Mapping) else value
    ),
]
"""None; ``balanced``: rows / (classes · rows of the class), counted by weight; or a weight per
class, by its text."""


class ModelParams(BaseModel):
    """The base of every model's parameters: frozen, and unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    def resolve_auto(self, rows: int) -> Self:
        """Replace what is ``auto`` by numbers, for so many rows in all sets.

        All sets count, so that a refit, which trains on all rows, uses the same numbers.
        """
        return self

    def _replace_auto(self, **numbers: float) -> Self:
        """Return a copy with these numbers where the parameter is "auto"."""
        update = {name: n for name, n in numbers.items() if getattr(self, name) == "auto"}
        return self.model_copy(update=update)


class XGBoostParams(ModelParams):
    """Gradient boosted trees. Any native XGBoost parameter is accepted beside these."""

    model_config = ConfigDict(extra="allow")

    rounds: int = Field(1000, ge=1, le=INT32)
    """Most rounds of boosting; early stopping may end the training sooner."""
    early_stopping: Annotated[
        int, BeforeValidator(lambda value: 0 if value is None or value is False else value)
    ] = Field(50, ge=0, le=INT32)
    """Rounds without a better score on the valid set before training stops; null or 0: never."""
    max_depth: Literal["auto"] | Annotated[int, Field(ge=0, le=64)] = "auto"
    """Most levels of a tree; 0: no limit; auto: 4 below 10,000 rows, else 6."""
    learning_rate: Literal["auto"] | Fraction = "auto"
    """Share of each tree's correction that is applied; auto: 0.05 below 10,000 rows, else 0.1."""
    min_child_weight: float = Field(1.0, ge=0)
    """Least sum of second derivatives in a leaf: rows for squared error, p(1 - p) for log loss."""
    subsample: Fraction = 0.8
    """Share of the rows that each tree sees."""
    colsample_bytree: Fraction = 0.5
    """Share of the columns that each tree sees."""
    max_bin: int = Field(256, ge=2, le=65_536)
    """Most bins of a column's values."""
    max_leaves: int = Field(0, ge=0, le=INT32)
    """Most leaves of a tree; 0: no limit."""
    num_parallel_tree: int = Field(1, ge=1, le=10_000)
    """Trees per round and score."""
    bins: Literal["auto", "exact"] = "auto"
    """Rows that set the bins; exact: all; auto: above 4 M training rows a sample of 1 M."""
    class_weight: ClassWeights = None
    """Weight of each class, or ``balanced``: the same total weight for every class."""
    monotone: dict[str, Literal[-1, 0, 1]] = {}
    """Columns with which the prediction may only rise (1) or only fall (-1)."""

    @model_validator(mode="before")
    @classmethod
    def _native_names(cls, value: object) -> object:
        if not isinstance(value, Mapping):
            return value
        entries: dict[str, object] = {}
        for key, entry in value.items():
            name = ALIASES.get(str(key), str(key))
            where = f"models.xgboost.{name}"
            if name in OWNED:
                raise ConfigError(
                    f"{where}: the pipeline sets this", fix=f"leave it out: {OWNED[name]}"
                )
            if name not in cls.model_fields and name not in NATIVE:
                names = [*cls.model_fields, *NATIVE, *ALIASES]
                raise ConfigError(
                    f"{where}: not a parameter of XGBoost", fix=suggest_or_list(name, names)
                )
            if name in entries:
                raise ConfigError(
                    f"models.xgboost: {key!r} is given twice, as {name!r} too",
                    fix=f"keep one of them: {name}",
                )
            entries[name] = entry
        return entries

    def resolve_auto(self, rows: int) -> Self:
        """Replace what is ``auto`` by numbers: few rows get small trees that learn slowly."""
        few = rows < FEW_ROWS
        return self._replace_auto(max_depth=4 if few else 6, learning_rate=0.05 if few else 0.1)

    @property
    def native(self) -> NativeParams:
        """The parameters that XGBoost gets unchanged, once `resolve_auto` has run."""
        always = (
            "max_depth",
            "learning_rate",
            "min_child_weight",
            "subsample",
            "colsample_bytree",
            "max_bin",
        )
        native = {name: getattr(self, name) for name in always}
        for name in ("max_leaves", "num_parallel_tree"):
            # left out at their defaults, which are XGBoost's own
            if (value := getattr(self, name)) != type(self).model_fields[name].default:
                native[name] = value
        return native | (self.model_extra or {})


class ForestParams(ModelParams):
    """Random forest: one table of parameters for both libraries.

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

    trees: int = Field(100, ge=1, le=100_000)
    """Trees of the forest."""
    max_depth: int = Field(16, ge=1, le=64)
    """Most levels of a tree; always a number, as unlimited depth makes large files."""
    min_samples_leaf: Literal["auto"] | Annotated[int, Field(ge=1, le=INT32)] = "auto"
    """Least rows in a leaf; auto: 5 below 100,000 rows, else 20. On flights 20 gives better scores
    than 1, and a third of the file size."""
    max_features: Literal["auto", "sqrt", "log2"] | Fraction = "auto"
    """Columns tried at each split: a rule or a share; auto: sqrt, or a third for a regression."""
    n_bins: int = Field(128, ge=2, le=1024)
    """Bins of a column on the GPU; scikit-learn tries every value."""
    max_samples: Literal["auto"] | Fraction = "auto"
    """Share of the rows that each tree draws; auto: all, but at most 50,000 rows of 1,000,000."""
    class_weight: ClassWeights = None
    """Weight of each class, or ``balanced``: the same total weight for every class."""

    def resolve_auto(self, rows: int) -> Self:
        """Replace what is ``auto`` by numbers: many rows get larger leaves."""
        return self._replace_auto(min_samples_leaf=5 if rows < MANY_ROWS else 20)
