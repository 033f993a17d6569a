"""Programs describe effects; what happens to them is up to the interpreter, and seen on the bus."""

from __future__ import annotations

import pickle
import threading

import pytest

from atlas_lab import EventBus, EventType, drop, to_frame
from atlas_lab.patterns import (
    Effect,
    EffectFailedError,
    EffectRefusedError,
    EffectSystem,
    Performer,
    ReplayError,
    UndoError,
)


class Read(Effect, frozen=True):
    name: str


class Write(Effect, frozen=True):
    name: str
    text: str


class Mail(Effect, frozen=True):
    to: str


def rename(old, new):
    """A program of three effects; it touches nothing by itself."""
    text = yield Read(old)
    yield Write(new, text)
    yield Write(old, "")
    return len(text)


def careful(name):
    try:
        return (yield Read(name))
    except EffectFailedError as error:
        return f"no file ({error.error_type})"
    except EffectRefusedError as error:
        return f"not allowed ({error.reason})"


def write_and_mail(name):
    yield Write(name, "new")
    yield Mail("boss")
    return (yield Read("missing"))


class Files:
    """A folder with real undo, and a post that has none."""

    def __init__(self, **texts):
        self.texts = dict(texts)
        self.sent = []
        self.undone = []

    def write(self, effect):
        old = self.texts.get(effect.name)
        self.texts[effect.name] = effect.text
        return old

    def restore(self, effect, old):
        self.undone.append(effect)
        self.texts.pop(effect.name) if old is None else self.texts.update({effect.name: old})

    def system(self, bus, **options):
        performers = {
            Read: Performer(lambda effect: self.texts[effect.name], harmless=True),
            Write: Performer(self.write, undo=self.restore),
            Mail: lambda effect: self.sent.append(effect.to),
        }
        return EffectSystem(bus, performers, **options)


def test_a_program_is_tested_with_no_side_effect_at_all():
    """A dry run gives what a program asks for and returns, without performers, and nothing happens."""
    files = Files(a="hello")
    bus = EventBus()
    command = files.system(bus).dry_run(rename("a", "b"), results={Read: lambda effect: effect.name * 3})
    assert command.effects == (Read("a"), Write("b", "aaa"), Write("a", ""))
    assert command.result == 3
    assert files.texts == {"a": "hello"}
    assert {event.data.outcome for event in bus.history["EFFECT_COMPLETED"]} == {"dry run"}
    assert EffectSystem(EventBus(), {}).dry_run(rename("a", "b"), results={Read: "x"}).result == 1
    with pytest.raises(UndoError, match="was a dry run, which did nothing"):
        command.undo()


def missing(effect):
    raise FileNotFoundError(effect.name)


def test_a_dry_run_can_try_the_way_of_failure():
    """A result that raises shows what a program does about it."""
    command = EffectSystem(EventBus(), {}).dry_run(careful("a"), results={Read: missing})
    assert command.result == "no file (FileNotFoundError)"


def test_effects_are_performed_and_seen_with_their_cause():
    """Each request has one completion, its child; what a performer publishes is a child of the request too."""
    files, bus = Files(a="hello"), EventBus()
    effects = files.system(bus, timer=iter(range(100)).__next__)
    command = effects.run(rename("a", "b"))
    assert (command.result, command.status) == (5, "executed")
    assert files.texts == {"a": "", "b": "hello"}
    requested, completed = bus.history["EFFECT_REQUESTED"], bus.history["EFFECT_COMPLETED"]
    assert [event.data.effect for event in requested] == list(command.effects)
    assert [event.parent_id for event in completed] == [event.id for event in requested]
    assert [(one.data.name, one.data.outcome, one.data.result, one.data.seconds) for one in completed] == [
        ("Read", "performed", "hello", 1), ("Write", "performed", None, 1), ("Write", "performed", "hello", 1),
    ]  # fmt: skip
    (executed,) = bus.history["COMMAND_EXECUTED"]
    assert (executed.data.name, executed.data.effects, executed.data.left) == ("rename", 3, 2)
    assert "data.effect.name" in to_frame(requested, data="expand")

    loud = EffectSystem(bus, {Mail: lambda effect: bus.publish(EventType.STREAM_CHUNK)}, name="loud")
    loud.run(iter_mail())
    assert bus.history["STREAM_CHUNK"][0].parent_id == bus.history["EFFECT_REQUESTED"][-1].id


def iter_mail():
    yield Mail("a")


def test_a_command_is_undone_last_effect_first():
    """Undo brings back what was, skips what is harmless, is told, and happens once."""
    files, bus = Files(a="hello"), EventBus()
    command = files.system(bus).run(rename("a", "b"))
    assert command.undo() == 2
    assert files.texts == {"a": "hello"}
    assert files.undone == [Write("a", ""), Write("b", "hello")]
    (reverted,) = bus.history["COMMAND_REVERTED"]
    assert (reverted.data.run, reverted.data.undone, reverted.data.left) == (command.run, 2, 0)
    with pytest.raises(UndoError, match="is reverted; there is nothing to undo"):
        command.undo()


def test_an_effect_without_undo_keeps_all_from_being_undone():
    """Nothing is half undone by surprise; partial=True asks for it."""
    files, bus = Files(a="x", missing="m"), EventBus()
    command = files.system(bus).run(write_and_mail("a"))
    with pytest.raises(UndoError, match="Mail has no undo; undo the rest with partial=True"):
        command.undo()
    assert files.texts["a"] == "new"
    assert "Mail has no undo" in bus.history["COMMAND_FAILED"][-1].data.error
    assert command.undo(partial=True) == 1
    assert files.texts["a"] == "x"
    assert bus.history["COMMAND_REVERTED"][-1].data.left == 1


def test_a_program_that_fails_is_undone_and_told():
    """A failure half-way leaves nothing half done where there is an undo; with "keep" it stays, and can be undone."""
    files, bus = Files(a="x"), EventBus()
    effects = files.system(bus)
    with pytest.raises(EffectFailedError, match="Read failed: KeyError: 'missing'") as raised:
        effects.run(write_and_mail("a"))
    assert isinstance(raised.value.__cause__, KeyError)
    assert files.texts == {"a": "x"}
    failed = bus.history["COMMAND_FAILED"][-1].data
    assert (failed.effects, failed.undone, failed.left) == (3, 1, 1)
    assert "KeyError" in failed.error
    with pytest.raises(EffectFailedError):
        effects.run(write_and_mail("a"), on_failure="keep")
    assert files.texts == {"a": "new"}


def test_an_undo_that_fails_can_be_called_again():
    """What is undone stays undone; the next call goes on from there."""
    files, bus = Files(a="hello"), EventBus()
    command = files.system(bus).run(rename("a", "b"))
    text = files.texts.pop("b")
    with pytest.raises(UndoError, match="undoing Write of effects/rename-1 failed: KeyError") as raised:
        command.undo()
    assert raised.value.undone == 1
    failed = bus.history["COMMAND_FAILED"][-1].data
    assert "failed: KeyError" in failed.error
    assert (failed.undone, failed.left) == (1, 1)
    files.texts["b"] = text
    assert command.undo() == 1
    assert files.texts == {"a": "hello"}
    reverted = bus.history["COMMAND_REVERTED"][-1].data
    assert (command.undone, reverted.undone, reverted.left) == (2, 2, 0)


def test_refusals_reach_the_program():
    """By a rule, for want of a performer, by a performer, and by a middleware of the bus: nothing is performed."""
    bus = EventBus()
    files = Files(a="hello")
    ruled = files.system(bus, refuse=lambda effect: "secret" if effect.name == "a" else None)
    assert ruled.run(careful("a")).result == "not allowed (secret)"
    assert "nothing performs effects of this class" in EffectSystem(bus, {}).run(careful("a")).result

    def unwilling(effect):
        raise EffectRefusedError(effect, "after hours")

    assert EffectSystem(bus, {Read: unwilling}).run(careful("a")).result == "not allowed (after hours)"
    assert {event.data.outcome for event in bus.history["EFFECT_COMPLETED"]} == {"refused"}
    allowed = files.system(bus)
    bus.add_middleware(drop(EventType.EFFECT_REQUESTED))
    assert "a middleware dropped it" in allowed.run(careful("a")).result
    assert bus.history["EFFECT_COMPLETED"][-1].data.outcome == "refused"
    with pytest.raises(EffectRefusedError, match="Write was refused"):
        allowed.run(iter([]) if False else write_and_mail("a"))
    assert files.texts == {"a": "hello"}


def test_a_recorded_run_is_replayed_without_performing():
    """From a bus, a list and a frame: same result, failures included, and the files are left alone."""
    files, bus = Files(a="hello"), EventBus()
    effects = files.system(bus)
    effects.run(rename("a", "b"))
    effects.run(careful("nowhere"))
    files.texts.clear()
    recorded = list(bus.history)
    for source in (bus, recorded, to_frame(recorded)):
        again = EffectSystem(EventBus(), {})
        assert again.replay(rename("a", "b"), source).result == 5
        assert again.replay(careful("nowhere"), source).result == "no file (KeyError)"
    assert files.texts == {}
    assert effects.replay(rename("a", "b"), recorded, run="effects/rename-1").mode == "replay"


def test_a_replay_of_another_program_is_told():
    """A program that asks for something else, or more, is not the one that was recorded; it cannot catch that."""
    bus = EventBus()
    effects = Files(a="hello").system(bus)
    effects.run(rename("a", "b"))
    with pytest.raises(
        ReplayError, match=r"effect 1 is Read\(name='c'\), but effects/rename-1 asked for Read\(name='a'\)"
    ):
        effects.replay(rename("c", "b"), bus)
    with pytest.raises(LookupError, match="no run of careful is recorded; runs: effects/rename-1"):
        effects.replay(careful("a"), bus)
    with pytest.raises(ReplayError, match="effect 1 is"):
        effects.replay(careful("z"), bus, run="effects/rename-1")

    def more():
        yield from rename("a", "b")
        yield Mail("boss")

    with pytest.raises(ReplayError, match="asked for 3 only"):
        effects.replay(more(), bus, run="effects/rename-1")
    with pytest.raises(LookupError, match="of the 3 effects of .*, only these are recorded: 2, 3"):
        effects.replay(rename("a", "b"), bus.history["EFFECT_COMPLETED"][1:3])


def test_a_replay_that_ends_early_is_told():
    """A program that asks for fewer effects is another one too."""
    bus = EventBus()
    effects = Files(a="hello").system(bus)
    effects.run(rename("a", "b"))

    def less():
        return (yield Read("a"))

    with pytest.raises(ReplayError, match=r"ended after 1 effects, .* asked for 3, the next being Write\(name='b'"):
        effects.replay(less(), bus, run="effects/rename-1")
    assert bus.history[-1].type is EventType.COMMAND_FAILED


def test_a_result_that_is_no_longer_recorded_is_told():
    """Also the last one: the run's end tells how many there were."""
    bus = EventBus()
    effects = Files(a="hello").system(bus)
    effects.run(rename("a", "b"))
    last = bus.history["EFFECT_COMPLETED"][-1]
    kept = [event for event in bus.history if event is not last]
    with pytest.raises(
        LookupError, match="of the 3 effects of effects/rename-1, only these are recorded: 1, 2. A bounded"
    ):
        effects.replay(rename("a", "b"), kept)


def test_the_latest_of_runs_of_one_name_is_replayed():
    """A cell that makes its system again counts its runs from 1 again, on the same bus."""
    bus = EventBus()
    for text in ("old", "newer"):
        effects = Files(a=text).system(bus)
        assert effects.run(rename("a", "b")).run == "effects/rename-1"
    assert effects.replay(rename("a", "b"), bus).result == len("newer")


def test_a_program_that_ran_is_no_new_one():
    """A generator goes through once; run again, it would ask for nothing and look like a success."""
    bus = EventBus()
    effects = Files(a="hello").system(bus)
    program = rename("a", "b")
    effects.dry_run(program, results={Read: "x"})
    with pytest.raises(ValueError, match="program rename was run before; call its function again"):
        effects.run(program)
    assert len(bus.history["COMMAND_EXECUTED"]) == 1


def test_an_undo_that_went_well_leaves_no_error():
    """The refusal before it is history."""
    files = Files(missing="here")
    command = files.system(EventBus()).run(write_and_mail("a"))
    with pytest.raises(UndoError, match="Mail has no undo"):
        command.undo()
    assert command.undo(partial=True) == 1
    assert (command.status, command.error) == ("reverted", None)


def test_a_queue_refuses_rather_than_performs_late():
    """Inside a handler of a bus that queues, an effect is refused with the reason, and not performed afterwards."""
    files, bus = Files(a="hello"), EventBus(nested="queued")
    effects, results = files.system(bus), []
    bus.subscribe(EventType.SYSTEM_INIT, lambda event: results.append(effects.run(careful("a")).result))
    bus.publish(EventType.SYSTEM_INIT)
    assert "queues nested publishes" in results[0]
    assert [event.data.outcome for event in bus.history["EFFECT_COMPLETED"]] == ["refused"]
    assert effects.run(careful("a")).result == "hello"


def test_systems_and_threads_do_not_perform_for_each_other():
    """Two systems of one name on one bus, each run from four threads, perform each effect once."""
    bus = EventBus(history_limit=None)
    counts = [[], []]
    systems = [EffectSystem(bus, {Mail: lambda effect, seen=seen: seen.append(effect)}) for seen in counts]

    def work(system):
        for _ in range(25):
            system.run(iter_mail())

    threads = [threading.Thread(target=work, args=(system,)) for system in systems for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [len(seen) for seen in counts] == [100, 100]
    assert len(bus.history["EFFECT_COMPLETED"]) == 200


def test_a_system_answers_its_own_requests_alone():
    """Of two systems on a bus, the one that runs the program performs and tells, whichever came first."""
    bus = EventBus()
    systems = [EffectSystem(bus, {Mail: lambda effect: "sent"}, name=name) for name in ("first", "second")]
    for system in systems[::-1]:
        system.run(iter_mail())
    assert [event.source for event in bus.history["EFFECT_COMPLETED"]] == ["second", "first"]


def test_recorded_events_published_again_perform_nothing():
    """Replaying a history onto a bus with a live system does not send the mail twice."""
    files, bus = Files(), EventBus()
    files.system(bus).run(iter_mail())
    for event in list(bus.history):
        bus.emit(event)
    assert files.sent == ["a"]


def test_an_interrupt_passes_and_is_told():
    """KeyboardInterrupt is no failure of the effect: it goes to whoever interrupted, after COMMAND_FAILED."""

    def interrupted(effect):
        raise KeyboardInterrupt

    bus = EventBus()
    effects = EffectSystem(bus, {Mail: interrupted})
    with pytest.raises(KeyboardInterrupt):
        effects.run(iter_mail())
    assert bus.history[-1].type is EventType.COMMAND_FAILED
    assert effects.dry_run(iter_mail()).status == "executed"


def yields_nonsense():
    try:
        yield 5
    finally:
        yields_nonsense.cleaned = True


def test_what_is_no_program_or_effect_is_refused():
    """The error says what to do, and a program may clean up."""
    bus = EventBus()
    effects = EffectSystem(bus, {})
    with pytest.raises(TypeError, match="yields_nonsense must yield effects, instances of Effect, got 5"):
        effects.run(yields_nonsense())
    assert yields_nonsense.cleaned
    assert bus.history[-1].type is EventType.COMMAND_FAILED
    with pytest.raises(TypeError, match=r"got function; call it: run\(program\(...\)\)"):
        effects.run(rename)
    with pytest.raises(TypeError, match="performers must name subclasses of Effect"):
        EffectSystem(bus, {str: print})
    with pytest.raises(TypeError, match="the performer of Read must be a Performer or callable"):
        EffectSystem(bus, {Read: 1})
    with pytest.raises(TypeError, match="performers must be a mapping of effects"):
        EffectSystem(bus, [Read])
    with pytest.raises(TypeError, match="bus must be an EventBus"):
        EffectSystem(None, {})
    assert repr(Files().system(bus)).startswith("<EffectSystem effects: performs Mail, Read, Write")
    with pytest.raises(ValueError, match="on_failure must be 'undo' or 'keep'"):
        effects.run(iter_mail(), on_failure="stop")


def test_closing_refuses_what_comes_later():
    """A closed system performs nothing, and says why."""
    files, bus = Files(a="x"), EventBus()
    with files.system(bus) as effects:
        pass
    effects.close()
    assert "the system is closed" in effects.run(careful("a")).result
    assert bus.subscriptions() == []


def test_effects_and_errors_can_be_sent_elsewhere():
    """Described effects are values: equal by content, hashable, picklable; so are their errors."""
    assert {Read("a"), Read("a")} == {Read("a")}
    assert pickle.loads(pickle.dumps(Write("a", "b"))) == Write("a", "b")
    error = pickle.loads(pickle.dumps(EffectFailedError(Read("a"), "KeyError", "'a'")))
    assert (str(error), error.error_type) == ("Read failed: KeyError: 'a'", "KeyError")
