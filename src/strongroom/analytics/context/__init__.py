"""What programs call: StrongroomContext, and PPMLContext with the words of BigDL."""
