"""`python -m mrl`: the command line, also for launchers that start modules (`torchrun … -m mrl train …`)."""

from mrl.cli import main

if __name__ == "__main__":
    main()
