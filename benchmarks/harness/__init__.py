"""Where does a study's time go?"""
