"""Tryton (https://www.tryton.org) as an ERP: one folder for everything that knows its REST interface."""
