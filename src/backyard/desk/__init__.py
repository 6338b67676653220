"""Behind both HTTP doors: what pages and routes ask and do alike."""
