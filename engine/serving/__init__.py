"""One runtime for several processes: each asks for its turn, and hands over pictures in memory that both see."""
