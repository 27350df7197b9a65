"""`make bench`: every benchmark, one after the other."""

from bench import startup, zip_size

for benchmark in (startup, zip_size):
    print(f"== {(benchmark.__doc__ or '').splitlines()[0]}", flush=True)
    benchmark.main()
