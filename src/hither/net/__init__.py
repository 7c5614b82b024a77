"""The only code that touches sockets: one runtime each for blocking, asyncio and trio."""
