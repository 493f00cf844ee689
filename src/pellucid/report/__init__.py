"""Write it down: an audit, its findings, and the page that shows them."""
