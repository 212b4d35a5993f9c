# Wire point 43: with APOP the greeting carries a stamp (the example of RFC 1939 s.7).
bare-only: the stamp is made up
set mechanisms=USER APOP
user mrose tanstaaf
auth hear c4c9334bac560ecc979e58001b3e22fb
auth yes

S: +OK POP3 server ready <1896.697170952@dbc.mtview.ca.us>
C: APOP mrose
S: -ERR usage: APOP name digest
C: APOP mrose c4c9334bac560ecc979e58001b3e22f
S: -ERR usage: APOP name digest
C: APOP mrose g4c9334bac560ecc979e58001b3e22fb
S: -ERR usage: APOP name digest
C: APOP mrose 00000000000000000000000000000000
S~ -ERR [AUTH] name or password is wrong (id *)
C: APOP mrose c4c9334bac560ecc979e58001b3e22fb
S: +OK maildrop has 0 messages (0 octets)
C: APOP mrose c4c9334bac560ecc979e58001b3e22fb
S: -ERR already logged in
C: QUIT
S~ +OK*
close
