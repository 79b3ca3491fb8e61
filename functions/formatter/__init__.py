"""The formatter: the result becomes a page that shows every statement with the passage it rests on."""
