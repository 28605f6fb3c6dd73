"""Pictures held for a model: never more than there is room for, first come first served."""

import asyncio
import random

from hypothesis import given, settings
from hypothesis import strategies as st

from zcurate.pipelines.originals import MAX_PIXELS, Room

SIZES = st.lists(st.tuples(st.integers(1, 60), st.integers(1, 60)), min_size=1, max_size=30)


@settings(max_examples=60, deadline=None)
@given(SIZES, st.integers(1, 5000), st.integers(0, 2**32))
def test_room_is_never_overdrawn_and_all_get_in(sizes, pixels, seed):
    """Whoever leaves when, and whoever is called off while waiting or inside."""
    room, order, inside, most, rng = Room(pixels), [], 0, 0, random.Random(seed)

    async def one(i, width_px, height_px):
        nonlocal inside, most
        async with room.hold(width_px, height_px):
            order.append(i)
            held = min(width_px * height_px, pixels)
            inside += held
            most = max(most, inside)
            try:
                for _ in range(rng.randrange(4)):
                    await asyncio.sleep(0)
            finally:
                inside -= held

    async def run():
        tasks = [asyncio.create_task(one(i, *size)) for i, size in enumerate(sizes)]
        called_off = [t for t in tasks if rng.random() < 0.2]
        await asyncio.sleep(0)
        for task in called_off:
            task.cancel()
        results = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 10)
        return [r for r, t in zip(results, tasks, strict=True) if t not in called_off]

    assert set(asyncio.run(run())) <= {None}
    assert most <= pixels
    assert room.free == pixels
    assert order == sorted(order)


def test_a_picture_counts_as_it_is_kept_not_as_it_came():
    async def run():
        room = Room(3 * MAX_PIXELS)
        async with room.hold(20_000, 20_000), room.hold(100, 100):
            return room.free

    assert asyncio.run(run()) == 2 * MAX_PIXELS - 10_000
