"""The benchmarks behind `bench`: each module measures one thing and returns rows."""
