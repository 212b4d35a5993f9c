# Wire point 34: a line that ends in a bare LF is taken.
user kermit secret
message size=70

greeting
C- USER kermit\nPASS secret\nSTAT\nQUIT\n
S~ +OK*
S~ +OK*
S: +OK 1 70
S~ +OK*
close
left: 1
