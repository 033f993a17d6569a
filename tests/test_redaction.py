"""Redaction: no secret gets through, the payload is never touched, and what held no secret is shared."""

from __future__ import annotations

import copy
import sys
from collections import OrderedDict, UserDict, defaultdict, deque, namedtuple
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property
from types import MappingProxyType
from typing import Any, NamedTuple

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from atlas_lab.events import Event, EventType
from atlas_lab.redaction import DEFAULT_SECRET_KEYS, MAX_DEPTH, redact

SECRET = "hunter2-planted"
HIDDEN = "[redacted]"


class Account(msgspec.Struct, frozen=True):
    name: Any
    token: Any

    def __post_init__(self):
        assert self.token != HIDDEN, "copies must run no user code"


@dataclass(frozen=True, slots=True)
class Login:
    user: Any
    password: Any = field(repr=True)

    def __post_init__(self):
        assert self.password != HIDDEN, "copies must run no user code"


class Pair(NamedTuple):
    value: Any
    secret: Any


class Named:
    def __str__(self):
        return "token"


class Header(Enum):
    AUTHORIZATION = 1
    SIGNED = "x-api-key"
    ACCEPT = "accept"


def cleaned(data: object, *args: Any, **options: Any) -> Any:
    return redact(*args, **options)(Event(EventType.COMMAND_EXECUTED, data)).data


def containers(inner):
    safe_keys = st.one_of(st.text("abxyz", max_size=3), st.integers(0, 9), st.binary(max_size=2), st.none())
    secret_keys = st.sampled_from(
        ["token", "X-Api-Key", "userPassword", b"Authorization", Header.SIGNED, ("a", "secret")]
    )
    return st.one_of(
        st.lists(inner, max_size=3),
        st.lists(inner, max_size=3).map(tuple),
        st.lists(inner, max_size=3).map(deque),
        st.dictionaries(safe_keys, inner, max_size=3),
        st.dictionaries(safe_keys, inner, max_size=3).map(MappingProxyType),
        st.tuples(st.dictionaries(safe_keys, inner, max_size=2), secret_keys).map(
            lambda two: {**two[0], two[1]: SECRET}
        ),
        st.tuples(secret_keys, inner).map(lambda two: OrderedDict({two[0]: [{"deep": SECRET}], "next": two[1]})),
        inner.map(lambda item: Account(item, SECRET)),
        inner.map(lambda item: Login(item, (SECRET,))),
        inner.map(lambda item: Pair(item, {"deep": SECRET})),
    )


NESTED = st.recursive(st.one_of(st.none(), st.integers(), st.text("abc", max_size=3)), containers, max_leaves=12)


def frozen_picture(value: object) -> object:
    """A picture of a value that later changes to it cannot reach, telling the types apart."""
    if isinstance(value, MappingProxyType | dict):
        return type(value), [(repr(key), frozen_picture(item)) for key, item in value.items()]
    if isinstance(value, list | tuple | deque):
        return type(value), [frozen_picture(item) for item in value]
    if isinstance(value, Account):
        return Account, frozen_picture(value.name), frozen_picture(value.token)
    if isinstance(value, Login):
        return Login, frozen_picture(value.user), frozen_picture(value.password)
    return repr(value)


@given(data=NESTED, metadata=st.dictionaries(st.text("ab", max_size=2), NESTED, max_size=2))
def test_no_planted_secret_gets_through_and_nothing_is_mutated(data, metadata):
    """Whatever the nesting, no value under a secret name is left, and the payload and event stay as they were."""
    event = Event(EventType.COMMAND_EXECUTED, data, metadata=metadata)
    before = frozen_picture(data), frozen_picture(metadata)
    result = redact()(event)
    assert SECRET not in repr((result.data, result.metadata))
    assert (frozen_picture(event.data), frozen_picture(event.metadata)) == before
    assert (result is event) == (SECRET not in repr((data, metadata)))
    assert redact()(result) is result


JSON = st.recursive(
    st.one_of(st.none(), st.integers(), st.just(SECRET)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(["token", "a", "b"]), inner)),
    max_leaves=12,
)


def plain_model(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: HIDDEN if key == "token" else plain_model(item) for key, item in value.items()}
    return [plain_model(item) for item in value] if isinstance(value, list) else value


@given(JSON)
def test_nothing_but_the_secrets_changes(data):
    """On JSON-like payloads the result is that of the plainest recursive redaction."""
    assert cleaned(data) == plain_model(data)


@pytest.mark.parametrize(
    "key",
    [
        "token",
        "TOKEN",
        "ToKeN",
        "access_token",
        "accesstoken",
        "tokenId",
        "token2",
        "userToken",
        "X-Api-Key",
        "x_api_key",
        "apikey",
        "APIKey",
        "ApiKeyV2",
        "api key",
        "Authorization",
        "proxy-authorization",
        "HTTP_AUTHORIZATION",
        "client.secret",
        "userPassword",
        "DBPassword",
        "passwords",
        "Set-Cookie",
        b"authorization",
        Header.AUTHORIZATION,
        Header.SIGNED,
        ("user", "token"),
    ],
)
def test_keys_that_name_a_secret(key):
    """A secret name is found as whole words in a key, whatever the case and whatever separates them."""
    assert cleaned({key: SECRET}) == {key: HIDDEN}


@pytest.mark.parametrize(
    "key",
    [
        "tokenizer",
        "cryptoken",
        "max_tokens",
        "secretary",
        "author",
        "authority",
        "keys",
        "",
        0,
        None,
        1.5,
        Header.ACCEPT,
        (1, 2),
        Named(),
    ],
)
def test_keys_that_only_look_like_one(key):
    """A key that merely contains the letters of a secret name, or is no text, keeps its value."""
    event = Event(EventType.COMMAND_EXECUTED, {key: "kept"})
    assert redact()(event) is event


@pytest.mark.parametrize(
    "path, expected",
    [
        ("data.user.phone", {"user": {"phone": HIDDEN, "names": ["a", "b"]}, 7: ("x", "y"), "a.b": 1}),
        ("data.user.names.0", {"user": {"phone": 5, "names": [HIDDEN, "b"]}, 7: ("x", "y"), "a.b": 1}),
        ("data.user.names.-1", {"user": {"phone": 5, "names": ["a", HIDDEN]}, 7: ("x", "y"), "a.b": 1}),
        ("data.*.names", {"user": {"phone": 5, "names": HIDDEN}, 7: ("x", "y"), "a.b": 1}),
        ("data.user.*.*", {"user": {"phone": 5, "names": [HIDDEN, HIDDEN]}, 7: ("x", "y"), "a.b": 1}),
        ("data.7.1", {"user": {"phone": 5, "names": ["a", "b"]}, 7: ("x", HIDDEN), "a.b": 1}),
        (("data", 7, 0), {"user": {"phone": 5, "names": ["a", "b"]}, 7: (HIDDEN, "y"), "a.b": 1}),
        (("data", "a.b"), {"user": {"phone": 5, "names": ["a", "b"]}, 7: ("x", "y"), "a.b": HIDDEN}),
        ("data.user.nobody.home", {"user": {"phone": 5, "names": ["a", "b"]}, 7: ("x", "y"), "a.b": 1}),
        ("data", HIDDEN),
    ],
)
def test_paths(path, expected):
    """A path takes out what it leads to, by key, index, wildcard or tuple, and nothing else."""
    data = {"user": {"phone": 5, "names": ["a", "b"]}, 7: ("x", "y"), "a.b": 1}
    assert cleaned(data, path, keys=()) == expected


def test_paths_reach_fields():
    """Fields of Structs, dataclasses and namedtuples are steps of a path, and their copies keep the class."""
    data = {"all": [Account("Ada", 1), Login(2, 3), Pair(4, 5)]}
    assert cleaned(data, "data.all.*.token", "data.all.1.user", "data.all.*.value", keys=()) == {
        "all": [
            msgspec.structs.force_setattr(other := Account("Ada", 1), "token", HIDDEN) or other,
            Login(HIDDEN, 3),
            Pair(HIDDEN, 5),
        ]
    }


def test_metadata_by_name_and_path():
    """Metadata is redacted as the payload is, and the event that was published keeps its own."""
    event = Event(EventType.SYSTEM_INIT, metadata={"auth_token": SECRET, "host": {"ip": 1}, "run": 2})
    assert redact("metadata.host.ip")(event).metadata == {"auth_token": HIDDEN, "host": {"ip": HIDDEN}, "run": 2}
    assert event.metadata["auth_token"] == SECRET
    assert set(redact("metadata.*")(event).metadata.values()) == {HIDDEN}


def test_what_holds_no_secret_is_shared():
    """A branch without a secret is the very same object in the copy, which saves copying large payloads."""
    big = {"rows": [{"n": n} for n in range(3)]}
    data = {"big": big, "login": {"token": SECRET}}
    result = cleaned(data)
    assert result["big"] is big
    assert result["login"] == {"token": HIDDEN}


def test_mappings_and_collections_keep_their_kind():
    """Ordered, default and bounded containers stay what they are; other mappings and subclasses come back plain."""

    class MyList(list):
        pass

    class MyTuple(tuple):
        __slots__ = ()

    part = {"token": 1}
    hidden = {"token": HIDDEN}
    result = cleaned(
        [OrderedDict(part), defaultdict(int, part), UserDict(part), deque([part], 5), MyList([part]), MyTuple([part])]
    )
    assert result == [hidden, hidden, hidden, deque([hidden]), [hidden], (hidden,)]
    assert [type(item) for item in result] == [OrderedDict, defaultdict, dict, deque, list, tuple]
    assert (result[1].default_factory, result[3].maxlen) == (int, 5)


def test_sets_are_searched():
    """A frozen payload inside a set is redacted, too."""
    assert cleaned({Pair(1, SECRET)}) == {Pair(1, HIDDEN)}
    assert cleaned(frozenset({Pair(1, SECRET)})) == frozenset({Pair(1, HIDDEN)})


def test_renamed_fields_and_extra_attributes():
    """A Struct's field is found by its encoded name, and a dataclass's attribute although it is no field."""

    class Renamed(msgspec.Struct):
        value: str = msgspec.field(name="apiKey")

    @dataclass
    class Derived:
        name: str

        @cached_property
        def auth_header(self) -> str:
            return f"Bearer {SECRET}"

    derived = Derived("Ada")
    assert SECRET in derived.auth_header
    result = cleaned([Renamed(SECRET), derived])
    assert (result[0].value, result[1].auth_header, result[1].name) == (HIDDEN, HIDDEN, "Ada")
    assert SECRET in derived.auth_header


def test_events_inside_events():
    """An event carried as a payload is redacted, keeping its id and its class."""
    inner = Event(EventType.PROVIDER_CREATED, {"api_key": SECRET}, metadata={"token": SECRET})
    result = cleaned(inner)
    assert (result.id, result.data, result.metadata) == (inner.id, {"api_key": HIDDEN}, {"token": HIDDEN})
    assert inner.data == {"api_key": SECRET}


def test_a_payload_that_contains_itself():
    """A cycle ends; without secrets the event passes as it is, and with one the copy holds no way back to the original."""
    safe: dict[str, Any] = {"n": 1}
    safe["self"] = [safe]
    event = Event(EventType.SYSTEM_INIT, safe)
    assert redact()(event) is event
    guilty: dict[str, Any] = {"child": {}}
    guilty["child"]["parent"] = guilty
    guilty["token"] = SECRET
    assert cleaned(guilty) == {"child": {"parent": HIDDEN}, "token": HIDDEN}
    assert guilty["child"]["parent"] is guilty


def test_a_path_through_a_cycle():
    """A path that leads through a reference back is followed to its end."""
    loop: dict[str, Any] = {"phone": 5}
    loop["self"] = loop
    assert cleaned(loop, "data.self.phone", keys=())["self"]["phone"] == HIDDEN


def test_depth_beyond_reason():
    """What lies deeper than MAX_DEPTH is taken out whole, with no recursion error; up to there nothing is lost."""
    deep: Any = {"token": SECRET}
    for _ in range(sys.getrecursionlimit() * 5):
        deep = [deep]
    result = cleaned(deep)
    levels = 0
    while isinstance(result, list):
        result, levels = result[0], levels + 1
    assert (result, levels) == (HIDDEN, MAX_DEPTH)
    fits: Any = "bottom"
    for _ in range(MAX_DEPTH):
        fits = [fits]
    event = Event(EventType.SYSTEM_INIT, fits)
    assert redact()(event) is event


def test_shared_parts_cost_once():
    """A payload that refers to the same part over and over is walked once per part, not once per way to it."""
    visits = 0

    class Counting(UserDict):
        def items(self):
            nonlocal visits
            visits += 1
            return super().items()

    part: Any = Counting(token=SECRET)
    for _ in range(40):
        part = [part, part]
    result = cleaned(part)
    assert visits == 1
    assert result[0] is result[1]


def test_mappings_that_make_their_values_anew():
    """Values that exist only while they are looked at are not confused with one another."""

    class Fresh(UserDict):
        def items(self):
            return ((name, {"token": SECRET} if name % 2 else {"n": name}) for name in range(50))

    assert cleaned([Fresh(), Fresh()]) == [{n: {"token": HIDDEN} if n % 2 else {"n": n} for n in range(50)}] * 2


def test_user_keys_and_replacement():
    """Keys of the user's own replace or extend the default ones, and any object can stand for a secret."""
    data = {"iban": 1, "token": 2, "2fa": 3}
    assert cleaned(data, keys=["iban", "2FA"], replacement=None) == {"iban": None, "token": 2, "2fa": None}
    assert cleaned(data, keys=DEFAULT_SECRET_KEYS | {"iban"}) == {"iban": HIDDEN, "token": HIDDEN, "2fa": 3}


def test_what_was_redacted_before_passes():
    """An event redacted elsewhere, such as one read back from a file, is not copied again."""
    event = Event(EventType.SYSTEM_INIT, {"token": b"[redacted]".decode()})
    assert redact()(event) is event
    whole = Event(EventType.SYSTEM_INIT, b"[redacted]".decode())
    assert redact("data")(whole) is whole


def test_a_secret_that_equals_everything_is_taken_out():
    """Only text is compared with the replacement; an object that claims to equal it is no less secret."""

    class Agreeable:
        __hash__ = None

        def __eq__(self, other):
            return True

    assert cleaned({"token": Agreeable()})["token"].__class__ is str


def test_a_set_has_no_places():
    """An index in a path leads into what has an order; what stands somewhere in a set is not taken out by it."""
    event = Event(EventType.SYSTEM_INIT, {"names": {"Ada"}, "more": frozenset({"Bob"})})
    assert redact("data.names.0", "data.more.-1", keys=())(event) is event
    assert redact("data.names.*", keys=())(event).data["names"] == {HIDDEN}


def test_opaque_objects_and_text_are_left_alone():
    """Objects of unknown kinds, classes and text that contains a secret are not searched."""

    class Opaque:
        token = SECRET

    event = Event(EventType.SYSTEM_INIT, [Opaque(), Account, Login, f"token={SECRET}", ("token", SECRET)])
    assert redact()(event) is event


def test_namedtuples_made_at_run_time_keep_their_class():
    """The copy of a namedtuple is one of the same class."""
    point = namedtuple("point", "x token")  # noqa: PYI024 - the run-time form is what is tested
    result = cleaned(point(1, SECRET))
    assert (type(result), result) == (point, (1, HIDDEN))


def test_the_copy_can_be_copied():
    """What comes out is made of ordinary values that copy and compare."""
    result = cleaned({"account": Account("Ada", SECRET)})
    assert copy.copy(result["account"]).name == "Ada"


@pytest.mark.parametrize(
    "args, options, error, message",
    [
        (("user.token",), {}, ValueError, "must start with 'data' or 'metadata', got 'user.token'"),
        (("metadata",), {}, ValueError, r"^path 'metadata' would leave .*; pass 'metadata\.\*' for all its values$"),
        (("data..token",), {}, ValueError, "must not have an empty step"),
        ((5,), {}, TypeError, "a path must be a str .* got int 5"),
        (((),), {}, TypeError, "a path must be a str"),
        ((("data", 1.5),), {}, TypeError, "a path must be a str"),
        ((), {"keys": "token"}, TypeError, "keys must be a collection .* got str 'token'"),
        ((), {"keys": 5}, TypeError, "keys must be a collection"),
        ((), {"keys": [5]}, TypeError, "keys must hold str, got int 5"),
        ((), {"keys": ["-"]}, ValueError, "keys must hold names with a letter"),
        ((), {"keys": []}, ValueError, "^redact has nothing to take out; give it a path such as .*, or keys$"),
    ],
)
def test_wrong_arguments(args, options, error, message):
    """Wrong arguments raise where redact is called, saying what came and what is expected."""
    with pytest.raises(error, match=message):
        redact(*args, **options)


def test_its_name_tells_what_it_takes_out():
    """Panels and errors show a redaction by its paths and keys."""
    assert redact("data.user.phone").__name__ == "redact(data.user.phone, keys)"
    assert redact(keys=["b", "a"]).__qualname__ == "redact(keys=['a', 'b'])"
    assert redact("data.x", keys=()).__name__ == "redact(data.x)"
