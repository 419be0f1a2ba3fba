from itertools import pairwise

from amaranth.sim import Simulator

from niter.nvme.front.finisher import Finisher


def test_both_sources_have_their_turns():
    """Whoever looks at once, or later, and however many there are of either."""
    dut = Finisher()
    taken = []

    def source(number):
        async def give(ctx):
            done = dut.done[number]
            ctx.set(done.payload.function, number)
            for cid in range(20):
                ctx.set(done.payload.cid, cid)
                ctx.set(done.valid, 1)
                await ctx.tick().until(done.ready)
                ctx.set(done.valid, 0)

        return give

    async def queues(ctx):
        for number in range(40):
            for _ in range(number // 4 % 3):
                await ctx.tick()
            while not ctx.get(dut.port.valid):
                await ctx.tick()
            function = ctx.get(dut.port.function)
            ctx.set(dut.port.look, 1)
            await ctx.tick()
            ctx.set(dut.port.look, 0)
            dropped = number % 5 == 4
            ctx.set(dut.port.drop if dropped else dut.port.post, 1)
            if dropped:
                taken.append((function, ctx.get(dut.post.payload.cid)))
            await ctx.tick()
            ctx.set(dut.port.drop, 0)
            ctx.set(dut.port.post, 0)
            if not dropped:
                ctx.set(dut.post.ready, 1)
                (post,) = await ctx.tick().sample(dut.post.payload).until(dut.post.valid)
                ctx.set(dut.post.ready, 0)
                assert post.function == function
                taken.append((function, post.cid))

    sim = Simulator(dut)
    sim.add_clock(1e-6)
    for number in range(2):
        sim.add_testbench(source(number), background=True)
    sim.add_testbench(queues)
    sim.run()
    for number in range(2):
        assert [cid for function, cid in taken if function == number] == list(range(20))
    # While the second has one, the first's do not follow each other.
    functions = [function for function, _ in taken]
    busy = functions[: 40 - functions[::-1].index(1)]
    assert (0, 0) not in pairwise(busy)
