"""Workflows as typed graphs: nodes, what each needs, and the checks before anything runs."""

from __future__ import annotations

import graphlib
import inspect
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

from atlas_lab import AtlasLabError, MissingExtraError

from .checking import check_seconds

if TYPE_CHECKING:
    from tenacity import BaseRetrying

T = TypeVar("T")


class GraphError(AtlasLabError, ValueError):
    """A workflow cannot be run: its nodes form a cycle, one is not known, or types or inputs do not fit."""


@dataclass(frozen=True, eq=False)
class Node(Generic[T]):
    """A step of a workflow, as `Workflow.add` makes it.

    Attributes
    ----------
    name : str
    run : callable
        Called with the results of what it needs.
    needs : tuple of str
        Names of nodes and inputs.
    retry : tenacity.BaseRetrying or None
        Which failures are tried again, how often, and after how long.
    timeout : float or None, seconds
        How long an attempt may take, from when a worker begins; on Dask, whose queue cannot be seen, from when it is
        handed over. A worker that is late goes on, and is free again when the function returns.
    when : callable or None
        Called with the same values; if it returns something false, the node is skipped.
    join : {"all", "any"}
        What a node does that needs one that was skipped: with "all" it is skipped too, with "any" only if all that it
        needs were skipped; else it gets None in place of what is missing.
    """

    name: str
    run: Callable[..., T]
    needs: tuple[str, ...] = ()
    retry: BaseRetrying | None = None
    timeout: float | None = None
    when: Callable[..., object] | None = None
    join: Literal["all", "any"] = "all"

    def __repr__(self) -> str:
        return f"<Node {self.name}({', '.join(self.needs)})>"


class Workflow:
    """A graph of nodes.

    Parameters
    ----------
    name : str
    inputs : mapping of str to type, optional
        What each run is given, and the type of it.

    Examples
    --------
    >>> from atlas_lab.atlas import Workflow
    >>> flow = Workflow("greet", inputs={"name": str})
    >>> @flow.node("name")
    ... def greeting(name: str) -> str:
    ...     return f"hello, {name}"
    >>> length = flow.add(len, greeting, name="length")
    >>> flow.order()
    ['greeting', 'length']
    >>> _ = flow.add(str.upper, "lenght", name="loud")
    >>> flow.order()
    Traceback (most recent call last):
        ...
    atlas_lab.atlas.graphs.GraphError: node 'loud' of workflow 'greet' needs 'lenght', which is neither a node nor an input; there are: greeting, length, loud, name
    """

    def __init__(self, name: str, inputs: Mapping[str, Any] | None = None) -> None:
        if not name or not isinstance(name, str):
            raise ValueError(f"name must be text, got {name!r}")
        if inputs is not None and not isinstance(inputs, Mapping):
            raise TypeError(f"inputs must be a mapping of names to types, got {type(inputs).__name__}")
        self.name = name
        self.inputs: dict[str, Any] = dict(inputs or {})
        self.nodes: dict[str, Node[Any]] = {}

    def add(
        self,
        run: Callable[..., T],
        *needs: str | Node[Any],
        name: str | None = None,
        retries: int = 0,
        retry: BaseRetrying | None = None,
        timeout: float | None = None,
        when: Callable[..., object] | None = None,
        join: Literal["all", "any"] = "all",
    ) -> Node[T]:
        """Add a node and return it.

        Parameters
        ----------
        run : callable
            Called with the results of `needs`, in their order. On an executor of processes, it must be found by name.
            ``async def`` is run to its end in the worker, on a loop of its own.
        *needs : str or Node
            Nodes, or names of nodes and inputs; they may be added later.
        name : str, optional
            By default that of `run`.
        retries : int, default 0
            How often to try again after an error, 0.1 s after the first, then twice as long each time, up to 10 s.
        retry : tenacity.BaseRetrying, optional
            Any other policy, such as ``tenacity.Retrying(stop=.., wait=.., retry=..)``.
        timeout, when, join
            As in `Node`.

        Raises
        ------
        TypeError, ValueError
            If there is a node or an input of this name, or an argument is not as described.
        MissingExtraError
            If `retries` is given and tenacity is not installed.
        """
        if not callable(run):
            raise TypeError(f"run must be callable, got {type(run).__name__}")
        if name is not None and not isinstance(name, str):
            raise TypeError(f"name must be a str, got {type(name).__name__}")
        for need in needs:
            if not isinstance(need, str | Node):
                raise TypeError(
                    f"needs must be nodes or names of nodes and inputs, got {type(need).__name__} {need!r:.80}"
                )
        called = name or getattr(run, "__name__", "")
        if not called or called in self.nodes or called in self.inputs:
            raise ValueError(
                f"workflow {self.name!r} has a node or an input {called!r} already; pass another name="
                if called
                else "run has no name; pass name="
            )
        if type(retries) is not int or retries < 0:
            raise ValueError(f"retries must be an int of 0 or more, got {retries!r}")
        if retries and retry is not None:
            raise ValueError("pass retries or retry, not both")
        if retry is not None and not callable(getattr(retry, "iter", None)):
            raise TypeError(f"retry must be a policy such as tenacity.Retrying(stop=..), got {type(retry).__name__}")
        if timeout is not None:
            check_seconds("timeout", timeout)
        if when is not None and (inspect.iscoroutinefunction(when) or not callable(when)):
            raise TypeError(f"when must be a function, not async, that returns whether to run; got {when!r:.80}")
        if join not in {"all", "any"}:
            raise ValueError(f"join must be 'all' or 'any', got {join!r}")
        names = tuple(need.name if isinstance(need, Node) else need for need in needs)
        made = Node(called, run, names, _retrying(retries) if retries else retry, timeout, when, join)
        self.nodes[called] = made
        return made

    def node(self, *needs: str | Node[Any], **options: Any) -> Callable[[Callable[..., T]], Node[T]]:
        """Add the decorated function as a node; takes what `add` takes."""

        def decorate(run: Callable[..., T]) -> Node[T]:
            return self.add(run, *needs, **options)

        return decorate

    @property
    def graph(self) -> dict[str, list[str]]:
        """What each node needs, by name."""
        return {name: list(node.needs) for name, node in self.nodes.items()}

    def sorter(self) -> graphlib.TopologicalSorter[str]:
        """Return the nodes as a sorter of `graphlib` that is prepared.

        Raises
        ------
        GraphError
            If the graph cannot be run; the message says why.
        """
        if not self.nodes:
            raise GraphError(f"workflow {self.name!r} has no nodes")
        for node in self.nodes.values():
            for need in node.needs:
                if need not in self.nodes and need not in self.inputs:
                    known = ", ".join(sorted([*self.nodes, *self.inputs]))
                    raise GraphError(
                        f"node {node.name!r} of workflow {self.name!r} needs {need!r}, "
                        f"which is neither a node nor an input; there are: {known}"
                    )
        sorter = graphlib.TopologicalSorter(
            {name: [need for need in node.needs if need in self.nodes] for name, node in self.nodes.items()}
        )
        try:
            sorter.prepare()
        except graphlib.CycleError as error:
            cycle = " > ".join(error.args[1])
            raise GraphError(f"the nodes of workflow {self.name!r} form a cycle: {cycle}; break it") from None
        for node in self.nodes.values():
            self._check_types(node)
        return sorter

    def order(self) -> list[str]:
        """Return the names of the nodes in an order in which they can be run.

        Raises
        ------
        GraphError
            As in `sorter`.
        """
        sorter = self.sorter()
        order: list[str] = []
        while sorter.is_active():
            ready = sorter.get_ready()
            order += ready
            sorter.done(*ready)
        return order

    def type_of(self, name: str) -> Any:
        """Return the type of what a node or an input gives, as far as it is declared; `Any` if it is not."""
        if name in self.inputs:
            return self.inputs[name]
        return _hints(self.nodes[name].run).get("return", Any)

    def _check_types(self, node: Node[Any]) -> None:
        try:
            signature = inspect.signature(node.run)
        except (TypeError, ValueError):  # built-in functions have none
            return
        try:
            bound = signature.bind(*node.needs)
        except TypeError as error:
            raise GraphError(
                f"node {node.name!r} of workflow {self.name!r} is given {len(node.needs)} values, "
                f"({', '.join(node.needs)}), but takes {signature}: {error}"
            ) from None
        hints = _hints(node.run)
        for parameter, needs in bound.arguments.items():
            several = signature.parameters[parameter].kind is inspect.Parameter.VAR_POSITIONAL
            for need in needs if several else (needs,):
                given, wanted = self.type_of(need), hints.get(parameter, Any)
                if node.join == "any" and need in self.nodes:
                    wanted |= None if wanted is not Any else Any
                if not _fits(given, wanted):
                    raise GraphError(
                        f"node {node.name!r} of workflow {self.name!r} takes {_shown(wanted)} for {parameter!r}, "
                        f"but {need!r} gives {_shown(given)}"
                    )

    def __repr__(self) -> str:
        return f"<Workflow {self.name}({', '.join(self.inputs)}): {', '.join(self.nodes) or 'no nodes'}>"


def _retrying(retries: int) -> BaseRetrying:
    try:
        import tenacity  # noqa: PLC0415 - only who retries needs it
    except ImportError as error:
        raise MissingExtraError("tenacity", "atlas") from error
    return tenacity.Retrying(
        stop=tenacity.stop_after_attempt(retries + 1), wait=tenacity.wait_exponential(multiplier=0.1, max=10)
    )


def _hints(run: Any) -> dict[str, Any]:
    if isinstance(run, type):
        return {"return": run}
    try:
        return typing.get_type_hints(run)
    except Exception:  # noqa: BLE001 - names that cannot be found, or what has none
        return {}


def _fits(given: Any, wanted: Any) -> bool:
    """Return False if a value of one type is surely none of the other."""
    if Any in (given, wanted) or isinstance(given, TypeVar) or isinstance(wanted, TypeVar):
        return True
    if _is_union(given):
        return all(_fits(one, wanted) for one in typing.get_args(given))
    if _is_union(wanted):
        return any(_fits(given, one) for one in typing.get_args(wanted))
    given, wanted = (type(None) if one is None else typing.get_origin(one) or one for one in (given, wanted))
    if not isinstance(given, type) or not isinstance(wanted, type):
        return True
    try:
        return issubclass(given, wanted) or (wanted is float and given is int)
    except TypeError:  # a protocol that cannot be asked
        return True


def _is_union(kind: Any) -> bool:
    return typing.get_origin(kind) in {typing.Union, types.UnionType}


def _shown(kind: Any) -> str:
    return kind.__name__ if isinstance(kind, type) and not typing.get_args(kind) else str(kind)
