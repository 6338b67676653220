"""The report job: a table of sales becomes a PDF and a workbook."""
