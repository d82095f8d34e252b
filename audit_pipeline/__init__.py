"""Audits of medical imaging classifiers: may this prediction be trusted, and if not, what is wrong?"""
