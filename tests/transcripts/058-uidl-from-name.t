# Wire point 58: the unique-id is the name up to ":", less ",S=" and ",W=".
user kermit secret
message name=1700000001.M1P1.transcript,S=10
  text Subject: 1\n
end
message flags=S name=1700000002.M2P1.transcript,S=10,W=11
  text Subject: 2\n
end
message name=1700000003.M3P1.transcript,X=1
  text Subject: 3\n
end

login
C: UIDL
S~ +OK*
S: 1 1700000001.M1P1.transcript
S: 2 1700000002.M2P1.transcript
S: 3 1700000003.M3P1.transcript,X=1
S: .
C: QUIT
S~ +OK*
close
