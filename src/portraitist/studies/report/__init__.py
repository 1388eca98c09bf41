"""From the runs that were made to the report: analysis, findings in words, charts, pictures, pages."""
