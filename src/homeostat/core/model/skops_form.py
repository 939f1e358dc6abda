"""What a stored estimator asks to be built, read from its JSON alone before anything is imported or called.

skops builds whatever it is told to trust, and some of its nodes call what they name with what they hold. So its
document is walked here first. A node may be of a kind that is known, may hold what that kind holds, and may name a
class or a function of the fixed list for just that place: a class where an object is made, a number's type where a
number is, a function only where one is referred to and never called. The list is in `safe_types.txt`; the project's own
classes are added by whoever loads, never by who sent the bytes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Mapping
from functools import cache
from importlib import import_module, resources
from typing import Any

from homeostat.core.errors import ModelError

PROTOCOLS = frozenset({2})
"""Versions of the format that are understood here."""

_DEEPEST = 150
_MOST_NAMED = 20
_AGAIN = "restore the artifact from a copy, or train the version again"
_VOUCH = "name classes of yours in the Loop, as in Loop(trusted=(MyEstimator,)); nothing but classes is built"

_COMMON = frozenset({"__class__", "__module__", "__loader__", "__id__"})
_ROOT = frozenset({"protocol", "_skops_version"})
_FILE = re.compile(r"[0-9A-Za-z-]{1,80}\.(npy|npz|bin)")

_NUMBERS = frozenset(
    f"numpy.{name}"
    for name in (
        *("bool", "bool_", "bytes_", "str_", "void", "datetime64", "timedelta64", "longdouble", "clongdouble"),
        *("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "longlong", "ulonglong", "intc"),
        *("float16", "float32", "float64", "complex64", "complex128", "uintc"),
    )
)
_PLAIN = frozenset(f"builtins.{name}" for name in ("str", "int", "float", "bool"))
_HOLDERS = frozenset({"builtins.list", "builtins.dict", "builtins.set", "builtins.tuple", "collections.OrderedDict"})
_MAPPINGS = frozenset({"builtins.dict", "collections.OrderedDict", "sklearn.utils._bunch.Bunch"})
_TIMES = frozenset({f"datetime.{name}" for name in ("date", "datetime", "time", "timedelta", "timezone")})
_SPARSE = frozenset(
    f"scipy.sparse._{kind}.{kind}_{shape}"
    for kind in ("bsr", "coo", "csc", "csr", "dia", "dok", "lil")
    for shape in ("matrix", "array")
)
_BITS = frozenset({"MT19937", "PCG64", "PCG64DXSM", "Philox", "SFC64"})
_READERS = frozenset(f"sklearn.feature_extraction.text.{name}Vectorizer" for name in ("Count", "Hashing", "Tfidf"))
"""They open files that rows name, when they are set to."""


class StrangeTypeError(ModelError):
    """A model names a type that is neither on the fixed list nor trusted."""


@cache
def safe_types() -> Mapping[str, frozenset[str]]:
    """The fixed list: exact names of `classes`, `losses` and `functions`."""
    found: dict[str, set[str]] = {}
    kind = ""
    for line in resources.files(__package__).joinpath("safe_types.txt").read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            kind = line.strip("[]")
        elif line and not line.startswith("#"):
            module, _, names = line.partition(": ")
            found.setdefault(kind, set()).update(f"{module}.{name}" for name in names.split())
    return {kind: frozenset(names) for kind, names in found.items()}


def check_form(document: Any, trusted: Collection[str] = ()) -> tuple[set[str], list[str]]:
    """Check all of a skops document; nothing that it names is imported.

    Returns:
        The files that it refers to, and the names of everything that it builds or refers to.

    Raises:
        ModelError: It is not of the form that skops writes.
        StrangeTypeError: It names what is neither on the list nor trusted.
    """
    walk = _FormWalk(frozenset(trusted))
    if not isinstance(document, dict) or document.get("protocol") not in PROTOCOLS or document["protocol"] is True:
        said = document.get("protocol") if isinstance(document, dict) else None
        raise ModelError(f"this skops model has the format {said!r:.40}, which is not known here", hint=_AGAIN)
    try:
        walk.node({name: value for name, value in document.items() if name not in _ROOT})
    except (_BrokenFormError, RecursionError) as error:
        raise ModelError(f"this skops model is not of the form that skops writes: {error}", hint=_AGAIN) from None
    if walk.strange:
        named = sorted(walk.strange)
        more = f" and {len(named) - _MOST_NAMED} more" if len(named) > _MOST_NAMED else ""
        what = f"the bundle holds types that nobody vouched for: {', '.join(named[:_MOST_NAMED])}{more}"
        raise StrangeTypeError(what, hint=_VOUCH)
    return walk.files, sorted(walk.named)


def check_classes(named: Collection[str]) -> None:
    """Make sure that every name stands for what its place in the list says, in the libraries that are installed here.

    Raises:
        ModelError: One of them is not there, or is another thing under that name.
    """
    functions = safe_types()["functions"]
    for name in named:
        module, _, last = name.rpartition(".")
        try:
            found = getattr(import_module(module), last)
        except (ImportError, AttributeError, ValueError) as error:
            raise ModelError(f"the stored estimator needs {name}, which is not here: {error}") from error
        if name in functions:
            right = callable(found) and not isinstance(found, type)
        else:
            right = isinstance(found, type) and found.__name__.rstrip("_") == last.rstrip("_")
        if not right:
            what = f"the stored estimator needs {name}, and here that is something else"
            raise ModelError(what, hint="serve with the versions of the libraries that trained it")


class _BrokenFormError(Exception):
    """A node is not as skops writes it."""


class _FormWalk:
    """Goes over every node of a document once."""

    def __init__(self, trusted: frozenset[str]) -> None:
        listed = safe_types()
        self.objects = listed["classes"] | trusted
        self.trusted = trusted
        self.losses, self.functions = listed["losses"], listed["functions"]
        self.named: set[str] = set()
        self.strange: set[str] = set()
        self.files: set[str] = set()
        self._ids: dict[int, dict[str, Any]] = {}
        self._depth = 0

    def node(self, node: Any, *loaders: str) -> dict[str, Any]:
        """Check a node and everything below it; with `loaders`, only of these kinds."""
        if not isinstance(node, dict) or not all(isinstance(node.get(name), str) for name in _COMMON - {"__id__"}):
            raise _BrokenFormError(f"a node is {node!r:.60}")
        loader, name = node["__loader__"], f"{node['__module__']}.{node['__class__']}"
        if loader not in _KINDS or (loaders and loader not in loaders):
            raise _BrokenFormError(f"{name:.80} is a {loader!r:.40} where none may be")
        if not node["__module__"] or not node["__class__"].isidentifier():
            raise _BrokenFormError(f"{name!r:.80} is no name of a class")
        self._same(node)
        keys, check = _KINDS[loader]
        if not node.keys() - _COMMON <= keys:
            raise _BrokenFormError(f"a {loader} holds {', '.join(sorted(node.keys() - _COMMON - keys))!r:.80}")
        self._depth += 1
        if self._depth > _DEEPEST:
            raise _BrokenFormError(f"nodes within nodes, more than {_DEEPEST} deep")
        check(self, node, name)
        self._depth -= 1
        return node

    def _same(self, node: dict[str, Any]) -> None:
        """A number stands for one thing: skops takes the first of two nodes with one number for both."""
        number = node.get("__id__")
        if number is None:
            return
        if type(number) is not int:
            raise _BrokenFormError(f"a node has the number {number!r:.40}")
        if self._ids.setdefault(number, node) != node:
            raise _BrokenFormError(f"two nodes have the number {number}")

    def one_of(self, name: str, allowed: Collection[str]) -> None:
        """Note a name that is built or referred to, and whether it may be."""
        self.named.add(name)
        if name not in allowed:
            self.strange.add(name)

    def part(self, node: dict[str, Any], ending: str) -> None:
        """Note the file of a node."""
        file = node.get("file")
        if not isinstance(file, str) or not _FILE.fullmatch(file) or not file.endswith(ending):
            raise _BrokenFormError(f"a part is called {file!r:.80}")
        self.files.add(file)

    def each(self, content: Any, *loaders: str) -> None:
        """Check the nodes of a list."""
        if not isinstance(content, list):
            raise _BrokenFormError(f"a list is {content!r:.60}")
        for node in content:
            self.node(node, *loaders)

    def fields(self, content: Any, **kinds: tuple[str, ...]) -> None:
        """Check an object that holds exactly these nodes, of these kinds."""
        if not isinstance(content, dict) or content.keys() != kinds.keys():
            raise _BrokenFormError(f"parts are {content!r:.60} and have to be {', '.join(kinds)}")
        for name, loaders in kinds.items():
            self.node(content[name], *loaders)


def _plain(node: dict[str, Any]) -> Any:
    """The value of a node of plain JSON: text, a number, a truth value or nothing."""
    try:
        found = json.loads(node["content"])
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise _BrokenFormError(f"a plain value is {node.get('content')!r:.60}") from error
    if isinstance(found, (dict, list)):
        raise _BrokenFormError(f"a plain value is {node['content']!r:.60}")
    return found


def _json(_walk: _FormWalk, node: dict[str, Any], name: str) -> None:
    if name != "builtins.str" or node.get("is_json", True) is not True:
        raise _BrokenFormError(f"a plain value is a {name:.80}")
    _plain(node)


def _dict(walk: _FormWalk, node: dict[str, Any], name: str) -> None:
    walk.one_of(name, _MAPPINGS | walk.trusted)
    content = node.get("content")
    if not isinstance(content, dict):
        raise _BrokenFormError(f"a mapping is {content!r:.60}")
    kinds = walk.node(node.get("key_types"), "ListNode")["content"]
    if len(kinds) < len(content):
        raise _BrokenFormError("a mapping has fewer kinds of keys than keys")
    for kind in kinds:
        key = f"{kind.get('__module__')}.{kind.get('__class__')}"
        if kind.get("__loader__") != "TypeNode" or key not in _PLAIN | _NUMBERS:
            raise _BrokenFormError(f"a key is a {key:.80}")
    walk.each(list(content.values()))


def _default(walk: _FormWalk, node: dict[str, Any], name: str) -> None:
    walk.one_of(name, {"collections.defaultdict"})
    walk.fields(node.get("content"), main=("DictNode",), default_factory=("TypeNode", "JsonNode"))


def _list(*allowed: str) -> Callable[[_FormWalk, dict[str, Any], str], None]:
    def check(walk: _FormWalk, node: dict[str, Any], name: str) -> None:
        walk.one_of(name, walk.trusted.union(allowed))
        walk.each(node.get("content"))

    return check


def _bytes(walk: _FormWalk, node: dict[str, Any], name: str) -> None:
    walk.one_of(name, {"builtins.bytes", "builtins.bytearray"})
    walk.part(node, ".bin")


def _slice(_walk: _FormWalk, node: dict[str, Any], name: str) -> None:
    content = node.get("content")
    if name != "builtins.slice" or not isinstance(content, dict) or content.keys() != {"start", "stop", "step"}:
        raise _BrokenFormError(f"a slice is {content!r:.60}")
    if not all(value is None or isinstance(value, (int, str)) for value in content.values()):
        raise _BrokenFormError(f"a slice is {content!r:.60}")


def _function(walk: _FormWalk, _node: dict[str, Any], name: str) -> None:
    walk.one_of(name, walk.functions)


def _partial(walk: _FormWalk, node: dict[str, Any], name: str) -> None:
    walk.one_of(name, {"functools.partial"})
    kinds = {"func": ("FunctionNode",), "args": ("TupleNode",), "kwds": ("DictNode",)}
    walk.fields(node.get("content"), **kinds, namespace=("DictNode", "JsonNode"))


def _type(walk: _FormWalk, _node: dict[str, Any], name: str) -> None:
    walk.one_of(name, _PLAIN | _NUMBERS | _HOLDERS)


def _built(walk: _FormWalk, node: dict[str, Any], name: str) -> None:
    walk.one_of(name, _TIMES | {"zoneinfo.ZoneInfo"} | walk.trusted)
    walk.node(node.get("content"), "TupleNode")


def _object(walk: _FormWalk, node: dict[str, Any], name: str) -> None:
    walk.one_of(name, walk.objects)
    state = node.get("content")
    if state is None:
        return
    walk.node(state)
    if name in _READERS:
        told = state["content"].get("input") if state["__loader__"] == "DictNode" else None
        if told is not None and (told["__loader__"] != "JsonNode" or _plain(told) != "content"):
            raise _BrokenFormError(f"a {node['__class__']} reads files")


def _array(walk: _FormWalk, node: dict[str, Any], name: str) -> None:
    kind = node.get("type")
    walk.one_of(name, {"numpy.ndarray"} | (_NUMBERS if kind == "numpy" else frozenset()))
    if kind == "numpy" and node.keys() & {"content", "shape"} == set():
        walk.part(node, ".npy")
    elif kind == "json" and "file" not in node:
        walk.each(node.get("content"))
        walk.node(node.get("shape"), "TupleNode")
    else:
        raise _BrokenFormError(f"an array is of the type {kind!r:.40}")


def _masked(walk: _FormWalk, node: dict[str, Any], name: str) -> None:
    walk.one_of(name, {"numpy.ma.MaskedArray", "numpy.ma.core.MaskedArray"})
    walk.fields(node.get("content"), data=("NdArrayNode",), mask=("NdArrayNode",))


def _dtype(walk: _FormWalk, node: dict[str, Any], name: str) -> None:
    walk.one_of(name, {"numpy.dtype"})
    walk.node(node.get("content"), "NdArrayNode")


def _random_state(walk: _FormWalk, node: dict[str, Any], name: str) -> None:
    walk.one_of(name, {"numpy.random.mtrand.RandomState"})
    walk.node(node.get("content"), "DictNode")


def _generator(walk: _FormWalk, node: dict[str, Any], name: str) -> None:
    walk.one_of(name, {"numpy.random._generator.Generator"})
    content = node.get("content")
    walk.fields(content, bit_generator=("DictNode",), seed_seq=("DictNode",))
    assert isinstance(content, dict)
    said = content["bit_generator"]["content"].get("bit_generator")
    if said is None or said["__loader__"] != "JsonNode" or _plain(said) not in _BITS:
        raise _BrokenFormError("a generator of random numbers is of no known kind")
    seeds = content["seed_seq"]["content"]
    size = seeds.get("pool_size")
    known = seeds.keys() <= {"entropy", "spawn_key", "pool_size", "n_children_spawned"}
    if not known or (size is not None and (size["__loader__"] != "JsonNode" or _plain(size) not in range(4, 65))):
        raise _BrokenFormError("a generator of random numbers has no usual seed")


def _sparse(walk: _FormWalk, node: dict[str, Any], name: str) -> None:
    walk.one_of(name, _SPARSE)
    if node.get("type") != "scipy":
        raise _BrokenFormError(f"a sparse matrix is of the type {node.get('type')!r:.40}")
    walk.part(node, ".npz")


def _reduced(allowed: Callable[[_FormWalk], Collection[str]]) -> Callable[[_FormWalk, dict[str, Any], str], None]:
    def check(walk: _FormWalk, node: dict[str, Any], name: str) -> None:
        walk.one_of(name, allowed(walk))
        walk.fields(node.get("__reduce__"), args=("TupleNode",))
        walk.node(node.get("content"), "DictNode", "TupleNode")

    return check


_CONTENT = frozenset({"content"})
_KINDS: dict[str, tuple[frozenset[str], Callable[[_FormWalk, dict[str, Any], str], None]]] = {
    "JsonNode": (frozenset({"content", "is_json"}), _json),
    "DictNode": (frozenset({"content", "key_types"}), _dict),
    "DefaultDictNode": (_CONTENT, _default),
    "ListNode": (_CONTENT, _list("builtins.list")),
    "SetNode": (_CONTENT, _list("builtins.set")),
    "TupleNode": (_CONTENT, _list("builtins.tuple", "sklearn.impute._iterative._ImputerTriplet")),
    "BytesNode": (frozenset({"file"}), _bytes),
    "BytearrayNode": (frozenset({"file"}), _bytes),
    "SliceNode": (_CONTENT, _slice),
    "FunctionNode": (frozenset(), _function),
    "PartialNode": (_CONTENT, _partial),
    "TypeNode": (frozenset(), _type),
    "ConstructorFromReduceNode": (_CONTENT, _built),
    "ObjectNode": (_CONTENT, _object),
    "NdArrayNode": (frozenset({"type", "file", "content", "shape"}), _array),
    "MaskedArrayNode": (_CONTENT, _masked),
    "DTypeNode": (_CONTENT, _dtype),
    "RandomStateNode": (_CONTENT, _random_state),
    "RandomGeneratorNode": (_CONTENT, _generator),
    "SparseMatrixNode": (frozenset({"type", "file"}), _sparse),
    "LossNode": (frozenset({"__reduce__", "content"}), _reduced(lambda walk: walk.losses)),
    "TreeNode": (frozenset({"__reduce__", "content"}), _reduced(lambda _walk: {"sklearn.tree._tree.Tree"})),
}
"""Kinds of nodes with what they hold. Not among them: MethodNode and OperatorFuncNode, which call what they name;
CachedNode, which skops does not write."""
