"""A register bus master for pysim."""

__all__ = ["read", "read64", "write"]


async def write(ctx, bus, addr, value):
    """Write one word."""
    ctx.set(bus.addr, addr)
    ctx.set(bus.w_data, value)
    ctx.set(bus.w_stb, 1)
    await ctx.tick()
    ctx.set(bus.w_stb, 0)


async def read(ctx, bus, addr):
    """Read one word."""
    ctx.set(bus.addr, addr)
    ctx.set(bus.r_stb, 1)
    await ctx.tick()
    ctx.set(bus.r_stb, 0)
    for _ in range(bus.latency - 1):
        await ctx.tick()
    return ctx.get(bus.r_data)


async def read64(ctx, bus, addr):
    """Read a 64-bit counter: its low half, and at once the high half."""
    low = await read(ctx, bus, addr)
    return low | await read(ctx, bus, addr + 1) << 32
