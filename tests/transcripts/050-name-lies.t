# Wire point 50: the name lies about the size; what RETR announces and sends is right.
user kermit secret
message name=1700000001.M1P1.transcript,S=20,W=99
  text Subject: a\r\n\r\nlast\r\n
end
message name=1700000002.M2P1.transcript,S=999999,W=999999
  text Subject: b\n\nlast\n
end

login
C: RETR 1
S: +OK 20 octets
S= 1
S: .
C: RETR 2
S: +OK 20 octets
S= 2
S: .
C: UIDL
S~ +OK*
S: 1 1700000001.M1P1.transcript
S: 2 1700000002.M2P1.transcript
S: .
C: QUIT
S~ +OK*
close
again
login
C: LIST
S: +OK 2 messages (40 octets)
S: 1 20
S: 2 20
S: .
C: QUIT
S~ +OK*
close
