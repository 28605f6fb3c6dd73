"""A reward of pictures for prompts, in three dimensions, after the Z-Image report, section 4.6.1.

Instruction following is the share of a prompt's elements that a picture satisfies, each predicted from the picture's and
the element's vectors; look of AI and aesthetics are heads on the picture's vector alone.
"""
