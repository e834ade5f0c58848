"""One way to ask for an action, whoever carries it out: this store, or a broker over the network."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from strongroom.broker.admin.actions import Administration
from strongroom.broker.admin.arguments import checked
from strongroom.broker.admin.operations import OPERATIONS, Operation
from strongroom.broker.admin.roles import Actor


class Desk(ABC):
    """The methods of `Administration` without their actor, each with keyword arguments and plain JSON answers.

    `desk.list_keys(tenant="default")` and `desk.call("list_keys", tenant="default")` are the same.
    """

    def call(self, name: str, /, **arguments: object) -> Any:  # noqa: ANN401  # JSON; `views` has the types
        """Carry out one action of the table; an argument that is None counts as not given."""
        operation = OPERATIONS[name]
        return self._carry_out(operation, checked(operation, arguments))

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name not in OPERATIONS:
            raise AttributeError(name)
        return lambda **arguments: self.call(name, **arguments)

    @abstractmethod
    def _carry_out(self, operation: Operation, arguments: dict[str, Any]) -> Any:  # noqa: ANN401
        """Run the action with checked arguments."""

    def close(self) -> None:  # noqa: B027  # not everything has something to let go of
        """Let go of what the desk holds."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class LocalDesk(Desk):
    """Acts on a store of this process as one actor."""

    def __init__(
        self, administration: Administration, actor: Actor, *, close: Callable[[], None] | None = None
    ) -> None:
        self.administration = administration
        self.actor = actor
        self._close = close

    def _carry_out(self, operation: Operation, arguments: dict[str, Any]) -> Any:  # noqa: ANN401
        return getattr(self.administration, operation.name)(self.actor, **arguments)

    def close(self) -> None:
        """Close what was opened for this desk."""
        if self._close is not None:
            self._close()
