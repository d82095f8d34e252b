"""The configuration: one strict model per stage, read from YAML, never executing anything it contains.

Unknown keys, wrong types and impossible values stop the run before any work, with the path of the key, what was found,
what is allowed and the nearest valid name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from audit_pipeline.errors import ConfigError
from audit_pipeline.registry import unknown_name
from audit_pipeline.selection import SelectRules
from audit_pipeline.strict import Settings

ModelT = TypeVar("ModelT", bound=BaseModel)
Level = Literal["screen", "standard", "deep"]
CLINICAL = "clinical"
"""The profile of a report that shows who the patient is."""


class AuditSection(Settings):
    """What this audit is called and how deep it goes."""

    name: str = Field("audit", description="Name of the audit, printed on every report")
    intended_use: str = Field("", description="What the model is for, in one sentence; printed on page one")
    level: Level = Field("standard", description="How much work each check may ask for")


class InputSection(Settings):
    """Where the studies are."""

    paths: list[Path] = Field([], description="Files or folders; folders are searched to any depth")
    labels: Path | None = Field(None, description="CSV with columns study, label and optional subgroup columns")
    select: SelectRules = SelectRules()
    gaps: Literal["refuse", "fill"] = Field(
        "refuse", description="A stack with missing slices; filled ones are invalid"
    )
    polarity: Literal["display", "stored"] = Field(
        "display", description="display: MONOCHROME1 radiographs inverted once"
    )
    volume: int | None = Field(None, ge=0, description="Which volume of a four-dimensional NIfTI file")
    prefer_affine: Literal["sform", "qform"] | None = Field(None, description="Which transform wins when both differ")
    uneven: Literal["refuse", "resample"] = Field(
        "refuse", description="A stack on no even grid; resample: linearly to its smallest step, marked as such"
    )
    suv: Literal["body_weight"] | None = Field(
        None, description="body_weight: PET activity becomes the standardised uptake value, or the study is refused"
    )
    part: Literal["real", "imaginary", "magnitude", "phase"] | None = Field(
        None, description="Which part of complex voxels is taken; null refuses them"
    )


class ModelSection(Settings):
    """The model card: a path, or the mapping itself."""

    card: Path | dict[str, Any] = Field(description="Path of model.yaml, or its content")


class ExplainSection(Settings):
    """Which maps are computed, for which classes, at which layer."""

    methods: list[str] = Field(["gradcam", "hirescam"], min_length=1, description="See `list explainers`")
    layer: str | list[str] = Field(
        "auto",
        description="Module name; auto: the card's, else the best by evidence; or names that layercam is fused over",
    )
    targets: str | list[str] = Field(
        "top2", description="predicted, all, topN (classes by probability) or a list of class names"
    )
    pooling: Annotated[str, Field(pattern=r"^(global|none|\d+(\.\d+)? ?mm)$")] | int = Field(
        "global", description="How gradcam pools the gradient: global, none, blocks of N cells, or of a length as 12 mm"
    )
    settings: dict[str, dict[str, Any]] = Field({}, description="Method -> its own settings; see `list explainers`")


class ChecksSection(BaseModel):
    """Which checks run with which limits; every other key is the name of a check with its keyword arguments."""

    model_config = ConfigDict(extra="allow", frozen=True)

    reference: Path | None = Field(None, description="Parquet file of clean reference studies")
    disable: list[str] = Field([], description="Names or codes of checks that do not run")

    @property
    def overrides(self) -> Mapping[str, Any]:
        """Keyword arguments by check name, still unchecked."""
        return self.model_extra or {}


class Claim(Settings):
    """What is claimed about one class before the data are seen.

    margin : how far below a claimed value the truth may lie before the claim has failed
    """

    sensitivity: float | None = Field(None, gt=0, le=1, description="At the threshold of the model card")
    specificity: float | None = Field(None, gt=0, le=1, description="At the threshold of the model card")
    auroc: float | None = Field(None, gt=0.5, le=1, description="Area under the ROC curve")
    margin: float = Field(0.05, ge=0, lt=1, description="How far below the claim the truth may lie")
    half_width: float | None = Field(None, gt=0, lt=0.5, description="Widest half of a 95 % interval that will do")
    prevalence: float | None = Field(None, gt=0, lt=1, description="Share of positives where the model will be used")


class Gates(Settings):
    """What the whole run has to hold, counted over its studies."""

    refused: float | None = Field(None, ge=0, lt=1, description="Largest share of the studies refused or failed")
    critical: float | None = Field(None, ge=0, lt=1, description="Largest share of the predictions judged critical")
    rejected_maps: float | None = Field(None, ge=0, lt=1, description="Largest share of the maps judged critical")


class CohortSection(Settings):
    """What was planned and claimed for the whole cohort beforehand, and the settings of its checks."""

    groups: list[str] = Field(
        [], description="Columns whose groups are compared as planned; the others are exploratory"
    )
    claims: dict[str, Claim] = Field({}, description="Class -> claimed performance")
    gates: Gates = Gates()
    development_sites: list[str] = Field([], description="Sites, as in the labels file, that helped to make the model")
    baseline: Path | None = Field(None, description="Finished run that this one is compared with, for drift")
    disable: list[str] = Field([], description="Names or codes of cohort checks that do not run")
    settings: dict[str, dict[str, Any]] = Field({}, description="Cohort check -> its keyword arguments")


class ReportSection(Settings):
    """What is printed and how it looks."""

    pdf: str = Field("all", pattern=r"^(all|flagged|none|sample:\d+)$", description="all | flagged | sample:k | none")
    html: Literal["all", "flagged", "none"] = Field("all", description="Pages for a browser: all | flagged | none")
    profile: Literal["deidentified", "clinical"] = Field(
        "deidentified",
        description="deidentified: pseudonyms, ages in bands, no dates, detected text blanked; clinical: study reports "
        "show patient and examination from linkage.csv, text stays, and every page says so",
    )
    colour_map: Literal["inferno", "viridis", "magma", "jet"] = Field("inferno", description="Colours of the maps")
    opacity: float = Field(0.55, gt=0, le=1, description="Opacity of the strongest evidence")
    scale: Literal["map", "study", "class"] = Field(
        "study", description="What the last colour stands for: the maximum of each map, study, or class over the cohort"
    )
    sign: Literal["positive", "signed"] = Field(
        "positive", description="positive colours evidence for the class only; signed also evidence against it"
    )
    paper: Literal["a4", "letter"] = Field("a4", description="Paper size")


class RunSection(Settings):
    """Where and how the run happens."""

    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="auto takes a GPU when there is one")
    precision: Literal["fp32"] = Field("fp32", description="Arithmetic of the network")
    batch_bytes: Literal["auto"] = Field("auto", description="Bytes of images held at once: one study at a time")
    workers: Literal["auto"] | int = Field(
        "auto", description="Processes that decode compressed pixels; auto takes one more than cores"
    )
    seed: int = Field(0, ge=0, description="Seed of everything that draws random numbers")
    output: Path = Field(Path("reports/audit"), description="The run folder; started again on it, a run resumes")
    site_key: Path | None = Field(None, description="File with the secret that keys the pseudonyms")

    @field_validator("workers", mode="before")
    @classmethod
    def _auto_or_a_number(cls, given: Any) -> Any:
        is_number = isinstance(given, int) and not isinstance(given, bool) and given > 0
        if given != "auto" and not is_number:
            raise ValueError(f"auto or a whole number above zero is needed, found {given!r}")
        return given


class AuditConfig(Settings):
    """The whole configuration."""

    audit: AuditSection = AuditSection()
    input: InputSection = InputSection()
    model: ModelSection
    explain: ExplainSection = ExplainSection()
    checks: ChecksSection = ChecksSection()
    cohort: CohortSection = CohortSection()
    report: ReportSection = ReportSection()
    run: RunSection = RunSection()


def read_config(source: Path | Mapping[str, Any], sets: Sequence[str] = ()) -> AuditConfig:
    """Return the configuration in a YAML file or mapping, with ``key.path=value`` settings applied on top.

    Relative paths in a file are relative to that file's folder, except ``run.output``, which is relative to the
    working directory.

    Raises
    ------
    ConfigError
        The file cannot be read, or a key or value is not allowed.
    """
    content = read_yaml(source, "configuration") if isinstance(source, Path) else dict(source)
    for setting in sets:
        _apply(content, setting)
    config = validated(AuditConfig, content)
    if not isinstance(source, Path):
        return config
    base = source.parent
    located = config.input.model_copy(
        update={
            "paths": [base / path for path in config.input.paths],
            "labels": config.input.labels and base / config.input.labels,
        }
    )
    card = config.model.card
    model = config.model.model_copy(update={"card": base / card}) if isinstance(card, Path) else config.model
    reference = config.checks.reference and base / config.checks.reference
    checks = config.checks.model_copy(update={"reference": reference})
    baseline = config.cohort.baseline and base / config.cohort.baseline
    cohort = config.cohort.model_copy(update={"baseline": baseline})
    return config.model_copy(update={"input": located, "model": model, "checks": checks, "cohort": cohort})


def json_schema() -> dict[str, Any]:
    """Return the JSON schema of the configuration, for completion in editors."""
    return AuditConfig.model_json_schema()


def read_yaml(path: Path, what: str) -> dict[str, Any]:
    """Return the mapping in a YAML file; `what` names it in messages.

    Raises
    ------
    ConfigError
        The file is missing, not UTF-8, not YAML, or not a mapping.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise ConfigError(f"the {what} {path} cannot be read: {reason}") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise ConfigError(f"the {what} {path} is not valid YAML{where}: {getattr(error, 'problem', error)}") from error
    if not isinstance(content, dict):
        raise ConfigError(f"the {what} {path} must be a mapping of keys, found {type(content).__name__}")
    return content


def _apply(content: dict[str, Any], setting: str) -> None:
    path, equals, text = setting.partition("=")
    if not equals or not path:
        raise ConfigError(f"--set needs key.path=value, found {setting!r}")
    *parents, last = path.split(".")
    place = content
    for name in parents:
        inner = place.get(name)
        place[name] = dict(inner) if isinstance(inner, Mapping) else {}
        place = place[name]
    place[last] = yaml.safe_load(text)


def validated(model: type[ModelT], content: Mapping[str, Any]) -> ModelT:
    """Return `content` as `model`, or raise ``ConfigError`` with one sentence per problem."""
    try:
        return model.model_validate(content)
    except ValidationError as error:
        problems = [_sentence(model, problem) for problem in error.errors()]
        raise ConfigError("\n".join(problems)) from error


def _sentence(model: type[BaseModel], problem: Any) -> str:
    location = [str(part) for part in problem["loc"]]
    path = ".".join(location) or "the whole"
    if problem["type"] == "extra_forbidden":
        known = _fields_at(model, problem["loc"][:-1])
        misplaced = misplaced_key(location[-1]) if model is AuditConfig else ""
        return f"{path}: {misplaced or unknown_name('key', location[-1], known)}"
    found = problem.get("input")
    shown = type(found).__name__ if isinstance(found, Mapping) else repr(found)
    detail = "" if problem["type"] in {"missing", "value_error"} else f"; found {shown}"
    message = problem["msg"].removeprefix("Value error, ")
    return f"{path}: {message[0].lower() + message[1:]}{detail}"


def misplaced_key(key: str) -> str:
    """Return the sentence for a key that stands in the wrong section of the configuration, "" for any other name.

    >>> misplaced_key("level"), misplaced_key("levle")
    ("'level' stands in another section: write audit.level.", '')
    """
    places = [f"{name}.{key}" for name in AuditConfig.model_fields if key in _fields_at(AuditConfig, [name])]
    return f"{key!r} stands in another section: write {' or '.join(places)}." if places else ""


def _fields_at(model: type[BaseModel], location: Sequence[int | str]) -> list[str]:
    current: Any = model
    for part in location:
        if isinstance(part, int):
            continue  # a place in a list, whose entries are of the model that the list names
        field = current.model_fields.get(part) if hasattr(current, "model_fields") else None
        candidates = [field.annotation, *getattr(field.annotation, "__args__", ())] if field else []
        models = [one for one in candidates if isinstance(one, type) and issubclass(one, BaseModel)]
        current = models[0] if models else None
    return list(current.model_fields) if current is not None else []
