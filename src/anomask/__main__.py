"""`python -m anomask` is `anomask`."""

from anomask.commands.cli import main

if __name__ == "__main__":
    main()
