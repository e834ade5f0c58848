"""From options to what opens, loads and runs models: engines, batching, sealed or plain versions.

World: reads the small files that the options name, and `batching_params.pbtxt` of plain versions.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from strongroom.pki import disk
from strongroom.serving.batching import Runner, make_runner
from strongroom.serving.engines import Engine, EngineOptions
from strongroom.serving.engines.choice import AUTO, PLATFORMS
from strongroom.serving.models.completeness import PlainGate, SealedGate
from strongroom.serving.models.loading import PlainLoader, SealedLoader
from strongroom.serving.models.model import Source
from strongroom.serving.models.registry import Runners
from strongroom.serving.models.versions import Candidate
from strongroom.serving.models.warmup import Preparation
from strongroom.serving.operations.identity import read_owner_key
from strongroom.serving.operations.keys import Keys
from strongroom.serving.operations.metrics import Metrics
from strongroom.serving.options import BatchingOptions, Options, RuntimeOptions
from strongroom.tfserving.config import MAX_CONFIG_BYTES, ModelEntry, parse_session_config
from strongroom.tfserving.config_batching import (
    FILE_OF_A_VERSION,
    BatchingSettings,
    default_batching,
    parse_batching,
    with_pool_of,
)


def engine_options(runtime: RuntimeOptions) -> EngineOptions:
    """Return how models are loaded and run. Raises BadConfigText, ConfigRefused, FileTooLong or OSError."""
    options = EngineOptions(
        engine=runtime.engine,
        openvino_precision=runtime.openvino_precision,
        intra_op_threads=runtime.intra_op_threads,
        inter_op_threads=runtime.inter_op_threads,
        saved_model_tags=frozenset(runtime.saved_model_tags),
    )
    if runtime.session_config is None:
        return options
    file = runtime.session_config
    threads = parse_session_config(disk.read_bounded(file, limit=MAX_CONFIG_BYTES), file=str(file))
    return replace(  # flags go before the file
        options,
        intra_op_threads=options.intra_op_threads or threads.intra_op,
        inter_op_threads=options.inter_op_threads or threads.inter_op,
    )


def sources(options: Options, keys: Keys | None, *, metrics: Metrics) -> Callable[[ModelEntry], Source]:
    """Return what opens the versions of each model: sealed bundles where there are keys, plain folders otherwise.

    Raises what `engine_options` and `read_owner_key` raise.
    """
    engine = engine_options(options.runtime)
    runtime = options.runtime
    preparation = Preparation(metrics=metrics, iterations=runtime.warmup_iterations if runtime.warmup else 0)
    if keys is None or options.broker is None:
        return lambda entry: Source(PlainLoader(_for(entry, engine), entry.name, preparation), PlainGate())
    owner = read_owner_key(options.broker)
    return lambda entry: Source(
        SealedLoader(
            model=entry.name, key=keys.of(entry.name), owner=owner, options=_for(entry, engine), preparation=preparation
        ),
        SealedGate(owner),
        is_plain=False,
    )


def _for(entry: ModelEntry, options: EngineOptions) -> EngineOptions:
    """Return the options for a model: its platform may name an engine."""
    named = PLATFORMS[entry.platform]
    return options if named == AUTO else replace(options, engine=named)


def runners(options: BatchingOptions, *, metrics: Metrics, is_plain: bool) -> Runners:
    """Return what runs loaded versions. Raises BadConfigText, BadBatching, FileTooLong or OSError."""
    general = general_batching(options)

    def run(engine: Engine, model: str, candidate: Candidate) -> Runner:
        batching = general
        if general is not None and options.per_model:
            batching = own_batching(candidate.folder, general) if is_plain else None
        return make_runner(
            engine,
            name=f"{model} {candidate.version}",
            model=model,
            batching=batching,
            drain=options.drain,
            metrics=metrics,
        )

    return run


def general_batching(options: BatchingOptions) -> BatchingSettings | None:
    """Return the server's batching parameters, None where it is off."""
    cpus = os.cpu_count() or 1
    if not options.enabled:
        return None
    if options.parameters_file is None:
        return default_batching(cpus=cpus)
    data = disk.read_bounded(options.parameters_file, limit=MAX_CONFIG_BYTES)
    return parse_batching(data, file=str(options.parameters_file), cpus=cpus)


def own_batching(folder: Path, general: BatchingSettings) -> BatchingSettings | None:
    """Return a version's own parameters with the server's threads; None where it has none: it is not batched."""
    file = folder / FILE_OF_A_VERSION
    try:
        data = disk.read_bounded(file, limit=MAX_CONFIG_BYTES)
    except FileNotFoundError:
        return None
    return with_pool_of(parse_batching(data, file=str(file), cpus=general.num_batch_threads), general)
