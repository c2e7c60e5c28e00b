"""Job scripts: where their files lie, how they are rendered, how their records are read. Pure, no I/O."""
