"""Keep XGBoost's own network out of trusted jobs: its workers talk to each other in clear, without a key.

World: changes one method of `xgboost.spark` once that is imported. XGBoost's collective (rabit) has neither encryption
nor authentication, and what goes over it tells a lot: the quantiles of every column and the sums of every tree. Its
federated transport has TLS, but the published packages are built without. One worker has nobody to talk to: it learns
with all the threads of its executor, behind Spark's protected channels alone.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import sys
from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import Any, Final

from strongroom.errors import Refused

MODULE: Final = "xgboost.spark.core"


class OpenCollective(Refused):
    """XGBoost's workers would talk to each other in clear, past everything that protects this job."""

    code = "SR-LEARN-COLLECTIVE"
    fix = "Use num_workers=1: one worker learns with all threads of its executor (spark.task.cpus, nthread)."


def check_workers(workers: int, conf: Mapping[str, str]) -> None:
    """Raise OpenCollective for more than one worker in a job that is authenticated, as trusted ones are."""
    if workers > 1 and conf.get("spark.authenticate", "false").strip().lower() == "true":
        raise OpenCollective(
            f"XGBoost was asked for {workers} workers; they exchange quantiles and sums of the data without TLS"
        )


def guard() -> None:
    """Hold `xgboost.spark` to check_workers in this process, whether it was imported before or will be."""
    if MODULE in sys.modules:
        _guarded(sys.modules[MODULE])
    elif not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


def _guarded(module: ModuleType) -> None:
    estimator = module._SparkXGBEstimator  # noqa: SLF001  # what fits all three estimators; a test holds its shape
    plain: Callable[..., Any] = estimator._get_tracker_args  # noqa: SLF001
    if getattr(plain, "strongroom_guard", False):
        return

    def checked(self: Any) -> Any:  # noqa: ANN401
        conf = module._get_spark_session().sparkContext.getConf()  # noqa: SLF001
        check_workers(self.getOrDefault(self.num_workers), dict(conf.getAll()))
        return plain(self)

    checked.strongroom_guard = True  # type: ignore[attr-defined]  # tells that it is there
    estimator._get_tracker_args = checked  # noqa: SLF001


class _Finder(importlib.abc.MetaPathFinder):
    """Finds one module as usual, and guards it when it has run."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != MODULE:
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = _Loader(spec.loader)
        return spec


class _Loader(importlib.abc.Loader):
    """Loads as another loader does, then guards."""

    def __init__(self, plain: importlib.abc.Loader) -> None:
        self._plain = plain

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        return self._plain.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        self._plain.exec_module(module)
        _guarded(module)
