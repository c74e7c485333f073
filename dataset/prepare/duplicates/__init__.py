"""Duplicates: exact ones by a key, near ones by MinHash and verification, and lines that recur in many documents.

In this order: `normalised.text_key` drops equal documents, `repeated_lines` removes boilerplate, `minhash.band_keys`
and `clusters.find_duplicates` find what is nearly equal.

What a user has to know:

- Case, white space, full-width forms do not count; nor does punctuation, for near-duplicates.
- A near-duplicate is a pair that shares at least .7 of its shingles: every five characters in a row, in any language
  (two texts of 2,000 characters, with about 70 single characters changed). Every candidate is verified, so a pair below
  .7 is never linked. Not every pair above it becomes a candidate: 56 % of pairs at exactly .7, 92 % at .8, 99.96 % at
  .9, and more where several versions are in one cluster.
- A text of fewer than 50 characters without punctuation is only compared exactly.
- Clusters chain: a and c go together if both are near b. The lowest number of a cluster is kept, so the first in the
  order of files and lines.
"""
