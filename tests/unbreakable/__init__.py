"""The bus under threads, interrupts, forks and hostile use; beside each test stands a control that shows it can fail."""
