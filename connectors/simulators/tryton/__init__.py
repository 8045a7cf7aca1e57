"""An ERP in the shape of Tryton 8.2's REST API; `vendor` builds it."""
