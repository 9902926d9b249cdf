"""The settings of every command: their schema, how they are composed, and what makes two of them the same job."""
