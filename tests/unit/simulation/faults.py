"""What goes wrong: each fault is done to a world at some time, and may undo itself later."""

from collections.abc import Callable, Sequence

from tests.unit.simulation.history import Backup
from tests.unit.simulation.redis import Dump, slot_of
from tests.unit.simulation.world import FLOORS, NAMES, World

Fault = Callable[[], None]


class Faults:
    """All that can happen to one world."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._random = world.random
        self._copies: list[tuple[Dump, Backup]] = []
        self.take_copies()
        self.all: tuple[Fault, ...] = (
            self.flush,
            self.restore_redis,
            self.promote_replica,
            self.promote_replica,
            self.evict,
            self.evict,
            self.kill_redis,
            self.stall_redis,
            self.trouble_redis,
            self.slow_redis,
            self.fill_redis,
            self.break_streams,
            self.cut_streams,
            self.silence_streams,
            self.lose_messages,
            self.kill_progress,
            self.prune_history,
            self.restore_database,
            self.restore_both,
            self.undo_erasure,
            self.hand_over,
            self.kill_process,
            self.stop_process,
            self.new_day,
            self.ask_for_rebuild,
        )

    def named(self, names: Sequence[str]) -> Sequence[Fault]:
        """Some of them."""
        return [fault for fault in self.all if fault.__name__ in names]

    def _lasting(self, undo: Callable[[], None], longest_s: float = 4.0) -> None:
        self._world.later(self._random.random() ** 2 * longest_s, undo)

    def take_copies(self) -> None:
        """A dump of Redis and a base copy of the database, of one moment."""
        self._copies.append((self._world.redis.dump(), self._world.database.backup()))

    def _copy(self, newest: int = 3) -> tuple[Dump, Backup]:
        return self._random.choice(self._copies[-newest:])

    def heal(self) -> None:
        """Ends every fault."""
        world = self._world
        world.network.trouble = world.network.slow_s = 0.0
        world.progress.cuts = world.progress.losses = 0.0
        world.progress.down = world.progress.silent = False
        world.redis.down = world.redis.full = False
        world.network.go_on()
        for process in world.processes.values():
            process.go_on()

    def flush(self) -> None:
        """FLUSHALL."""
        self._world.redis.flush()

    def restore_redis(self) -> None:
        """Redis starts with an older dump."""
        self._world.redis.restore(self._copy(9)[0])

    def promote_replica(self) -> None:
        """Some primaries of a cluster are replaced by replicas that have not heard the newest."""
        world = self._world
        dump, _ = self._copy(2)
        slots = sorted({slot_of(key) for key in (*world.redis.space, *dump.space)})
        world.redis.restore(dump, {slot for slot in slots if self._random.random() < 0.4})

    def evict(self) -> None:
        """Memory is short, and a key is gone."""
        keys = sorted(self._world.redis.space)
        if keys:
            self._world.redis.unlink(self._random.choice(keys))

    def kill_redis(self) -> None:
        """It comes back with what it had, or with an older dump."""
        world = self._world
        world.redis.down = True
        world.network.forget()
        if self._random.random() < 0.5:
            self.restore_redis()
        self._lasting(self._start_redis)

    def _start_redis(self) -> None:
        self._world.redis.down = False

    def stall_redis(self) -> None:
        self._world.network.stalled = True
        self._lasting(self._world.network.go_on)

    def trouble_redis(self) -> None:
        """Requests and answers are lost or late."""
        self._world.network.trouble = self._random.choice((0.1, 0.5))
        self._lasting(self._end_trouble)

    def _end_trouble(self) -> None:
        self._world.network.trouble = 0.0

    def slow_redis(self) -> None:
        self._world.network.slow_s = self._random.choice((0.3, 6.0))
        self._lasting(self._end_slow)

    def _end_slow(self) -> None:
        self._world.network.slow_s = 0.0

    def fill_redis(self) -> None:
        self._world.redis.full = True
        self._lasting(self._empty_redis)

    def _empty_redis(self) -> None:
        self._world.redis.full = False

    def break_streams(self) -> None:
        self._world.progress.break_off()

    def cut_streams(self) -> None:
        self._world.progress.cuts = 0.3
        self._lasting(self._end_cuts)

    def _end_cuts(self) -> None:
        self._world.progress.cuts = 0.0

    def lose_messages(self) -> None:
        self._world.progress.losses = 0.4
        self._lasting(self._end_losses)

    def _end_losses(self) -> None:
        self._world.progress.losses = 0.0

    def silence_streams(self) -> None:
        """Connections are half open."""
        self._world.progress.silent = True
        self._lasting(self._end_silence, 2.0)
        self._world.progress.break_off()

    def _end_silence(self) -> None:
        self._world.progress.silent = False

    def kill_progress(self) -> None:
        self._world.progress.down = True
        self._world.progress.break_off()
        self._lasting(self._start_progress)

    def _start_progress(self) -> None:
        self._world.progress.down = False
        self._world.number_soon()

    def prune_history(self) -> None:
        """What is old is deleted."""
        database = self._world.database
        least = max(database.head - 3, database.first_kept)
        database.first_kept = self._random.randint(database.first_kept, least)

    def restore_database(self) -> None:
        """PostgreSQL is at an earlier point."""
        self._restore_database(self._copy()[1])

    def _restore_database(self, backup: Backup) -> None:
        """Some of those whose writes are gone write again."""
        world = self._world
        kept = len(backup.lineage.changes)
        lost = world.database.head - kept
        world.database.restore(backup)
        world.writer.forget()
        if self._random.random() < 0.7:
            world.progress.break_off()
        world.number_soon()
        for _ in range(self._random.randint(0, max(lost, 0))):
            world.later(self._random.random() * 0.3, world.write)

    def restore_both(self) -> None:
        """PostgreSQL and Redis are put back to one earlier moment, while a process that stands
        still holds what came after it.
        """
        world, random = self._world, self._random
        self.take_copies()
        stopped_s = random.random() * 0.4
        restored_s = stopped_s + 0.2 + random.random() * 0.3
        for _ in range(random.randint(2, 5)):
            world.later(random.random() * restored_s, world.write)
        if random.random() < 0.8:
            process = world.processes[random.choice(NAMES)]
            world.later(stopped_s, process.stop)
            world.later(restored_s + random.random(), process.go_on)
        world.later(restored_s, self._put_back)

    def undo_erasure(self) -> None:
        """Someone is erased, boards fall behind that, and PostgreSQL is put back to before it."""
        world, random = self._world, self._random
        self.take_copies()
        _, backup = self._copies[-1]
        world.erase()
        behind_s = 0.1 + random.random() * 0.3
        world.later(behind_s, self._fall_behind)
        world.later(behind_s + random.random() * 0.2, lambda: self._restore_database(backup))

    def _fall_behind(self) -> None:
        """Slowly enough to be caught at it."""
        self._world.network.slow_s = 0.3
        self._lasting(self._end_slow)
        self.restore_redis()
        self._world.oracle.after_accident()

    def _put_back(self) -> None:
        dump, backup = self._copy(1)
        self._restore_database(backup)
        self._world.redis.restore(dump)
        self._world.oracle.after_accident()

    def hand_over(self) -> None:
        """Another sequencer has the lease."""
        world = self._world
        world.sequencer = "s2" if world.sequencer == "s1" else "s1"
        world.number_soon()

    def kill_process(self) -> None:
        name = self._random.choice(NAMES)
        self._world.kill(name)
        self._lasting(self._world.processes[name].start)

    def stop_process(self) -> None:
        """For a moment, or longer than the lock of a rebuild lives."""
        process = self._world.processes[self._random.choice(NAMES)]
        process.stop()
        self._lasting(process.go_on, self._random.choice((1.0, 15.0)))

    def new_day(self) -> None:
        self._world.floors = FLOORS[1]

    def ask_for_rebuild(self) -> None:
        self._world.processes[self._random.choice(NAMES)].ask_for_rebuild()
