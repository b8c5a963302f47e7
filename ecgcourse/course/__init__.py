"""What only the book needs: exercises that answer, pages to play with."""
