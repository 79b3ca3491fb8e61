"""The tracker: folds the events of every request into its state, and ends what is overdue or has failed."""
