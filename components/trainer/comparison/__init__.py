"""Ways of transfer beside each other on the same data: a ladder, what each reaches and costs, and the choice."""
