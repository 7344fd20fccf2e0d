"""Estimates for several targets, of a model, a Network or an hls4ml project."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any, Final

from edgeflow import corrections, described, parts, targets, whatif
from edgeflow.backends import registry
from edgeflow.backends.base import Backend
from edgeflow.errors import InputError, RecipeError, TargetError
from edgeflow.estimate import duty, hls_digits, operations
from edgeflow.estimate.quantity import Estimate
from edgeflow.network import Network
from edgeflow.subject import CHOOSABLE, Subject, digits
from edgeflow.targets import Target

HLS4ML: Final = "hls4ml"
"""The backend whose designs have strategies, reuse factors and weights of their own."""

TYPES: Final = ("precision", "weight", "bias", "result", "accum")
NOWHERE: Final = "neither this target nor its backend has it"


@dataclass(frozen=True)
class Asked:
    """One target of a question: as its file has it, and as the question replaced it.

    ``options`` has passed the backend's `options`, from what was ``given``; ``clocked``: the
    question gives the clock; ``taken``: its settings that the target or its backend knows.
    ``notes`` are for the reader.
    """

    target: Target
    backend: Backend
    options: Mapping[str, Any]
    notes: tuple[str, ...] = ()
    given: Mapping[str, Any] = field(default_factory=dict)
    clocked: bool = False
    taken: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Question:
    """What is asked of every target beside the model.

    ``options`` are the backend's, all of which it must know; ``settings`` may also be a target's
    figures and settings, and those that a target and its backend do not know are left out there
    (see `edgeflow.whatif`).
    """

    backend: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    clock_mhz: float | None = None
    runtime: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)


def estimate_targets(
    read: Callable[[], Network | Subject],
    names: Sequence[str],
    *,
    backend: str | None = None,
    options: Mapping[str, Any] | None = None,
    clock_mhz: float | None = None,
    runtime: str | None = None,
    settings: Mapping[str, Any] | None = None,
    calibration: Path | None = None,
) -> dict[str, dict[str, Any]]:
    """What the Network would cost on each target, in the form of the report's ``targets``.

    Args:
        read: gives the Network, or all that is known of the design; called once the targets and
            options are known to be right.
        names: targets, or paths of target files (``.yaml``).
        backend: its name; the target's first by default.
        options: the backend's options.
        clock_mhz, runtime, settings: replace what the targets have: see `edgeflow.whatif.apply`.
            A setting may also be an option of the backend (``reuse_factor``), dots for nested
            ones (``layers.fc1.reuse_factor``), ``clock_ns`` for a period.
        calibration: a user's own corrections: see `edgeflow.corrections.find`.

    Raises:
        EdgeflowError: an unknown target, backend, option or setting; a clock that cannot be; the
            model cannot be read.
    """
    question = Question(backend, dict(options or {}), clock_mhz, runtime, dict(settings or {}))
    chosen = ask(names, question)
    own = corrections.find(calibration)
    found = read()
    subject = found if isinstance(found, Subject) else Subject(found)
    return {one.target.name: _entry(settle(one, subject), subject, own) for one in chosen}


def ask(names: Sequence[str], question: Question) -> list[Asked]:
    """The targets as a question replaces them, each with its backend and checked options.

    Raises:
        EdgeflowError: see `estimate_targets`.
    """
    if question.clock_mhz is not None:
        whatif.positive("clock", question.clock_mhz, "MHz")
    if question.runtime is not None:
        whatif.known_runtime(question.runtime)
    settings = _settled(question.settings)
    pairs = []
    for name in names:
        target = _load(name)
        pairs.append((target, registry.choose(target, question.backend)))
    _refuse_unknown(pairs, settings)
    failed: dict[str, str] = {}
    found = [_ask(target, one, question, settings, failed) for target, one in pairs]
    _refuse_untaken(settings, found, failed)
    return found


def _ask(
    target: Target,
    backend: Backend,
    question: Question,
    settings: Mapping[str, Any],
    failed: dict[str, str],
) -> Asked:
    """One target as a question replaces it. Values that its backend refuses are added to
    ``failed``."""
    given, left = _options(backend, target, question, settings, failed)
    mine = {key: value for key, value in settings.items() if whatif.understands(target, key)}
    asked = whatif.apply(target, question.clock_mhz, question.runtime, mine)
    if part := given.get("part"):
        asked = replace(asked, architecture=parts.architecture(str(part)))
    notes = whatif.remarks(asked, target)
    notes += [
        f"'{key}' was left out: {failed.get(key) or NOWHERE}" for key in left if key not in mine
    ]
    clocked = question.clock_mhz is not None or "clock_mhz" in given or "clock_mhz" in mine
    taken = frozenset({*mine, *(key for key in settings if key not in left)})
    options = backend.options(given, "--option")
    return Asked(asked, backend, options, tuple(notes), given, clocked, taken)


def _refuse_untaken(
    settings: Mapping[str, Any], found: Sequence[Asked], failed: Mapping[str, str]
) -> None:
    if wrong := [key for key in settings if not any(key in one.taken for one in found)]:
        raise InputError(
            "values that no target takes",
            where="--set",
            details=[failed.get(key, f"'{key}' has a wrong value") for key in wrong],
        )


def settle(asked: Asked, subject: Subject) -> Asked:
    """The target's options with those that come with the design, where the question has none.

    Raises:
        EdgeflowError: the design's part is of no known family; its options cannot be.
    """
    if asked.backend.name != HLS4ML:
        return replace(asked, notes=(*asked.notes, *_unused(asked, subject)))
    given, notes = dict(asked.given), [*asked.notes, *subject.notes]
    own = {key: value for key, value in subject.options.items() if key != "layers"}
    if asked.clocked:
        own.pop("clock_mhz", None)
    part = own.get("part")
    target = asked.target
    if part and "part" not in given and str(part).lower() != target.chip.lower():
        target = replace(target, architecture=parts.architecture(str(part)))
        notes.append(
            f"estimated for the design's own part, {part}; the target has {target.chip} "
            f"(--set part={target.chip})"
        )
    if subject.multipliers and "multipliers" not in target.settings:
        bound = {**target.settings, "multipliers": subject.multipliers}
        target = replace(target, settings=bound)
    layers = _layers(subject, given)
    options = asked.backend.options({**own, **given, "layers": layers}, "the design's options")
    return replace(asked, target=target, options=options, notes=tuple(notes))


def _layers(subject: Subject, given: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Each layer's own options: the question's, else (where the question has none for all layers)
    the design's, else the Network's attributes."""
    asked: Mapping[str, Mapping[str, Any]] = given.get("layers") or {}
    own: Mapping[str, Mapping[str, Any]] = subject.options.get("layers") or {}
    found: dict[str, dict[str, Any]] = {}
    for layer in subject.network:
        options = {
            key: layer.attributes[key]
            for key in ("strategy", "reuse_factor")
            if layer.attributes.get(key) and layer.kind in CHOOSABLE
        }
        options |= own.get(layer.name) or {}
        options = {key: value for key, value in options.items() if key not in given}
        if (precision := given.get("precision")) not in (None, "auto", "tuned"):
            kernel = layer.weights.get("kernel")
            if kernel is None or kernel.quantizer is None or subject.design:
                options = {k: v for k, v in options.items() if k not in TYPES}
                options["precision"] = precision
        options |= asked.get(layer.name) or {}
        if options:
            found[layer.name] = options
    return found | {name: dict(one) for name, one in asked.items() if name not in found}


def _unused(asked: Asked, subject: Subject) -> tuple[str, ...]:
    if not subject.design:
        return ()
    return (f"the hls4ml project's settings say nothing to the backend {asked.backend.name}",)


def figures(asked: Asked, subject: Subject) -> dict[str, Estimate]:
    """The estimates for one target that `settle` has seen, without a user's corrections."""
    result = _result(asked, subject) or None
    return asked.backend.estimate(subject.network, asked.target, asked.options, None, result)


def _result(asked: Asked, subject: Subject) -> dict[str, Any]:
    """What is known of the design beside the Network: the digits of its weights."""
    if asked.backend.name == HLS4ML and (found := digits(subject, asked.options)):
        return {"digits": found}
    return {}


def _by_layer(asked: Asked, subject: Subject) -> dict[str, dict[str, float]]:
    """Figures by layer, where the backend has them."""
    if asked.backend.name != HLS4ML:
        return {}
    from edgeflow.backends.hls4ml import costs

    counted = _result(asked, subject).get("digits", {})
    known = {name: hls_digits.Digits(*counts) for name, counts in counted.items()}
    return costs.by_layer(subject.network, asked.target, asked.options, digits=known)


def _entry(asked: Asked, subject: Subject, own: Sequence[corrections.Correction]) -> dict[str, Any]:
    target, compiler, options = asked.target, asked.backend, asked.options
    network = subject.network
    problems = [] if subject.design else compiler.check(network, target, options)
    macs = network.totals.macs
    found = corrections.apply(figures(asked, subject), target, macs, own)
    found = {**found, **duty.extend(found, target), **operations.extend(network, target)}
    notes = list(asked.notes)
    if hasattr(compiler, "warnings") and not problems:
        notes += compiler.warnings(network, target, options, _result(asked, subject), found)
    elif hasattr(compiler, "remarks") and not problems:
        notes += compiler.remarks(network, target, options)
    entry: dict[str, Any] = {
        "backend": compiler.name,
        "title": target.title,
        "problems": [str(problem) for problem in problems],
        "notes": notes,
        "estimates": {quantity: figure.to_json() for quantity, figure in found.items()},
    }
    if layers := _by_layer(asked, subject):
        entry["layers"] = layers
    if duty.asked(target):
        free = options
        if options.get("clock_mhz"):  # a clock among the options would hide each point's
            free = {**options, "clock_mhz": None}
            target = whatif.apply(target, float(options["clock_mhz"]))

        def at(mhz: float) -> Mapping[str, Estimate]:
            there = replace(asked, target=whatif.apply(target, mhz), options=free)
            return corrections.apply(figures(there, subject), there.target, macs, own)

        entry["operating_points"] = duty.operating_points(target, at)
    return entry


def _load(name: str) -> Target:
    if described.is_description(name):
        target = described.target(name)
        whatif.refuse_contradictions(target)
        return target
    try:
        target = targets.load(name)
    except TargetError as error:
        if not error.message.startswith("unknown target"):
            raise
        raise TargetError(
            error.message,
            remedy=f"{error.remedy}; a board of your own is a file (--target my-board.yaml), or is "
            "described in place: --target '{like: pynq-z2, name: mine, clock_mhz: 150}' "
            "(docs/estimates.md)",
        ) from None
    whatif.refuse_contradictions(target)
    return target


def _settled(settings: Mapping[str, Any]) -> dict[str, Any]:
    """A period as a clock."""
    found = dict(settings)
    if "clock_ns" in found:
        found.setdefault(
            "clock_mhz", 1e3 / whatif.positive("clock_ns", found.pop("clock_ns"), "ns")
        )
    if "runtime" in found:
        whatif.known_runtime(str(found["runtime"]))
    if found.get("clock_mhz") is not None:
        found["clock_mhz"] = whatif.positive("clock_mhz", found["clock_mhz"], "MHz")
    return found


def _refuse_unknown(pairs: Sequence[tuple[Target, Backend]], settings: Mapping[str, Any]) -> None:
    """Keys that no target and no backend of the question knows."""
    wrong = [
        key
        for key in settings
        if not any(
            whatif.understands(target, key) or key.partition(".")[0] in _names(backend)
            for target, backend in pairs
        )
    ]
    if wrong:
        every = {name for target, _ in pairs for name in whatif.known(target)}
        every |= {name for _, backend in pairs for name in _names(backend)} | {"clock_ns"}
        raise whatif.unknown(wrong, sorted(every))


def _names(backend: Backend) -> frozenset[str]:
    return _option_names(backend.name)


@cache
def _option_names(backend: str) -> frozenset[str]:
    """A backend's options; their schema takes milliseconds to make."""
    return frozenset(registry.get(backend).schema().get("properties", {}))


def _options(
    backend: Backend,
    target: Target,
    question: Question,
    settings: Mapping[str, Any],
    failed: dict[str, str],
) -> tuple[dict[str, Any], list[str]]:
    """The backend's options with those settings that are ones, unchecked, and the keys left.

    Why a value is none for this backend is added to ``failed``.
    """
    known = _names(backend)
    given, left = dict(question.options), []
    for key, value in settings.items():
        # A clock is the target's, which the backends read; an option of that name would hide it.
        if key.partition(".")[0] not in known or key == "clock_mhz":
            left.append(key)
            continue
        try:
            backend.options(_nested({}, key, value), "--set")
        except RecipeError as error:
            if not whatif.understands(target, key):
                failed[key] = error.message
            left.append(key)
            continue
        given = _nested(given, key, value)
    return given, left


def _nested(options: Mapping[str, Any], key: str, value: Any) -> dict[str, Any]:
    """The options with one more: ``layers.NAME.KEY`` goes two levels down."""
    head, dot, rest = key.partition(".")
    if not dot:
        return {**options, head: value}
    inner = dict(options.get(head) or {})
    name, dot, last = rest.rpartition(".")
    if dot:
        inner[name] = {**(inner.get(name) or {}), last: value}
    else:
        inner[rest] = value
    return {**options, head: inner}


class Explorer:
    """Many what-if questions about one model on one target, quickly: for search.

    What does not change is made once: the target, its backend, the weights' digits by type.

    >>> from edgeflow.frontends.network_file import from_record
    >>> network, _ = from_record({"input_shape": [16], "layers": [{"kind": "dense", "units": 5}]})
    >>> explorer = Explorer(network, "pynq-z2")
    >>> figures = explorer.at({"reuse_factor": 4, "precision": "ap_fixed<8,3>"})
    >>> figures["dsp"].unit
    'DSP'
    """

    def __init__(
        self,
        what: Network | Subject,
        target: str,
        *,
        backend: str | None = None,
        options: Mapping[str, Any] | None = None,
        calibration: Path | None = None,
    ) -> None:
        """Args as those of `estimate_targets`; raises what it raises."""
        self.subject = what if isinstance(what, Subject) else Subject(what)
        self.target = _load(target)
        self.backend = registry.choose(self.target, backend)
        self.options = dict(options or {})
        self.corrections = corrections.find(calibration)

    def at(
        self,
        settings: Mapping[str, Any] | None = None,
        *,
        clock_mhz: float | None = None,
        runtime: str | None = None,
    ) -> dict[str, Estimate]:
        """The figures of one point, by quantity.

        Args:
            settings: the backend's options, figures and settings of the target, as `--set` takes
                them: ``{"layers.fc1.reuse_factor": 8, "precision": "ap_fixed<8,3>"}``.
            clock_mhz, runtime: in place of the target's.

        Raises:
            EdgeflowError: an unknown setting, or a value that cannot be.
        """
        question = Question(None, self.options, clock_mhz, runtime, _settled(settings or {}))
        _refuse_unknown([(self.target, self.backend)], question.settings)
        failed: dict[str, str] = {}
        asked = _ask(self.target, self.backend, question, question.settings, failed)
        _refuse_untaken(question.settings, [asked], failed)
        asked = settle(asked, self.subject)
        found = figures(asked, self.subject)
        return corrections.apply(
            found, asked.target, self.subject.network.totals.macs, self.corrections
        )
