# Wire point 12: NUL, 8-bit octets and a bare CR travel as they are.
user kermit secret
message
  text Subject: \xe4\xf6\xfc\r\n\r\na\0b\rc\xff\xfe\r\n\r\r\n\r\n
end

login
C: RETR 1
S: +OK 30 octets
S: Subject: \xe4\xf6\xfc
S:
S: a\0b\rc\xff\xfe
S: \r
S:
S: .
C: QUIT
S~ +OK*
close
left: 1
