"""What makes a page: settings, kept computing, results, verdicts, pictures, and the tables that chapters share."""
