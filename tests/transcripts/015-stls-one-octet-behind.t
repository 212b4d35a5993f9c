# Wire point 15: even one octet.
user kermit secret

greeting
C- STLS\r\nX
S: +OK begin TLS now
close
