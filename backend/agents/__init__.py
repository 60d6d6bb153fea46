"""The agents themselves: who was heard, what each tells of itself."""
