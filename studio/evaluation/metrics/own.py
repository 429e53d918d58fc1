"""A project's own metric: a Python file that an admin put into the workspace, or one of the hub that was asked for

Both are code that runs with the rights of the evaluation process. So a file counts only where it lies in the
workspace's folder for metrics itself (nothing that can be uploaded or typed gets there), and the hub is asked only with
`fetch`. What `evaluate` copies of them before it imports them goes into a folder that the caller names. What it leaves
out: who may choose one (an admin; the screen's matter).
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

from studio.errors import BadFile, BadInput

_HUB_NAME = re.compile(r"(?:[\w.-]{1,96}/)?[\w.-]{1,96}")


def load_own(folder: Path, name: str, cache: Path) -> Any:
    """The `evaluate.Metric` in `folder`/`name`.py (`name` may have folders in it), copies and data in `cache`.

    Raises BadFile for a file that is not there, lies elsewhere, wants to download code, or holds no metric.
    """
    path = _inside(folder, name)
    from evaluate.loading import get_imports

    if any(kind == "external" or place.startswith(("http", "git+")) for kind, _, place, _ in get_imports(str(path))):
        raise BadFile(f"The metric '{name[:60]}' downloads code ('# From:'): put what it needs beside it instead.")
    return _loaded(str(path), name, cache)


def load_from_hub(name: str, cache: Path, fetch: bool = False) -> Any:
    """A metric of the Hugging Face Hub: downloaded and run, so only with `fetch`, which a person asked for.

    Raises BadInput for a name that is none, without `fetch`, and where the hub or the metric cannot be reached.
    """
    if not _HUB_NAME.fullmatch(name) or ".." in name or (cache / name).exists() or Path(name).exists():
        raise BadInput(f"'{name[:60]}' is no name of a metric on the hub: it looks like owner/name.")
    if not fetch:
        raise BadInput(f"The metric '{name[:60]}' is code of the hub: an admin has to ask for its download first.")
    return _loaded(name, name, cache)


def score_with(metric: Any, key: str = "") -> Callable[[Sequence[Any], Sequence[Any]], float]:
    """A function of predictions and references for studio.evaluation.scoring.scored_by: the value under `key` of what
    the metric computes, by default the first that is a number. Raises BadFile for a metric that gives none."""

    def score(predictions: Sequence[Any], references: Sequence[Any]) -> float:
        try:
            found = metric.compute(predictions=list(predictions), references=list(references)) or {}
        except Exception as error:  # a stranger's code
            said = " ".join(str(error).split())[:200]
            raise BadFile(f"The metric '{metric.name}' fails on these answers: {said}.") from error
        values = [value for name, value in found.items() if (name == key or not key) and _number(value)]
        if not values:
            wanted = f" called '{key}'" if key else ""
            raise BadFile(f"The metric '{metric.name}' gives no number{wanted}: look at what its _compute returns.")
        return float(values[0])

    return score


def _inside(folder: Path, name: str) -> Path:
    home = folder.resolve()
    path = home / (name if name.endswith(".py") else f"{name}.py")
    if path.resolve() != path or not path.is_relative_to(home) or not path.is_file():
        raise BadFile(f"There is no metric '{name[:60]}' in the workspace's folder for metrics: put {path.name} there.")
    return path


def _loaded(what: str, name: str, cache: Path) -> Any:
    """`evaluate.load` with a package of its own for each cache: Python looks for one name in one place only."""
    from evaluate.loading import evaluation_module_factory, import_main_class, init_dynamic_modules

    try:
        package = f"own_metrics_{sha256(str(cache.resolve()).encode()).hexdigest()[:16]}"
        modules = init_dynamic_modules(package, hf_modules_cache=str(cache / "modules"))
        module = evaluation_module_factory(what, module_type="metric", dynamic_modules_path=modules)
        import_main_class(module.module_path)
        made = _own_class(module.module_path)
    except Exception as error:  # a stranger's file runs here: anything may come out of it
        raise BadFile(f"The metric '{name[:60]}' cannot be loaded: {' '.join(str(error).split())[:200]}.") from error
    if made is None:
        raise BadFile(f"The file of the metric '{name[:60]}' has no class of its own made from evaluate.Metric.")
    metric = made(cache_dir=str(cache), keep_in_memory=True)
    metric.download_and_prepare()
    return metric


def _own_class(module: str) -> Any:
    """The last metric that a module defines; `evaluate` itself would take the first it sees, an imported one too."""
    from evaluate import EvaluationModule

    kinds = [kind for kind in vars(sys.modules[module]).values() if isinstance(kind, type)]
    own = [kind for kind in kinds if issubclass(kind, EvaluationModule) and kind.__module__ == module]
    return own[-1] if own else None


def _number(value: object) -> bool:
    return hasattr(value, "__float__") and not isinstance(value, bool | str)
