# Wire point 15: octets behind STLS drop the connection (CVE-2011-0411).
user kermit secret
message size=70

greeting
C- STLS\r\nUSER kermit\r\nPASS secret\r\nDELE 1\r\nQUIT\r\n
S: +OK begin TLS now
close
left: 1
