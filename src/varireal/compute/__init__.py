"""Where and how work is done: devices, processes, engines, progress, interruption. Nothing here decides a result."""
